package gossip

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"drystone/internal/simtest/simlink"
	"drystone/protocol"
)

// One donor and many newcomers: they serve each other what they have, so that the last has the whole long before the donor
// alone could have sent it to all, the donor sends little more than one copy, and none waits long for its first piece.
func TestSwarm(t *testing.T) {
	const n = 8
	blob := randomBlob(6, 24*pieceSize)
	d := protocol.MerkleRoot(blob)
	inSim(t, simlink.Steady(50*time.Millisecond), func(s *sim) {
		_, addrs := s.donors(1, simlink.Line(100, 20), blob)
		donor := s.hosts[0]
		var all []protocol.PeerID
		for range n {
			h := s.host(simlink.Line(100, 20), nil)
			h.ServeBlobs(newMemory())
			s.connect(h, addrs)
			for _, other := range s.hosts[1 : len(s.hosts)-1] {
				s.connect(h, other.Addrs())
			}
		}
		for _, h := range s.hosts {
			all = append(all, h.ID())
		}
		began := time.Now()
		type end struct{ first, whole time.Duration }
		ends := make(chan end, n)
		for _, h := range s.hosts[1:] {
			go func() {
				var e end
				opt := FetchOptions{Size: int64(len(blob)), More: func() []protocol.PeerID { return all }, Progress: func(int64, int64) {
					if e.first == 0 {
						e.first = time.Since(began)
					}
				}}
				got, err := h.Fetch(s.t.Context(), d, opt.Size, all, opt)
				if err != nil || !bytes.Equal(got, blob) {
					s.t.Error(len(got), err)
				}
				e.whole = time.Since(began)
				h.ServeBlobs(newMemory(blob)) // as the store does once it is put there
				ends <- e
			}()
		}
		var worst end
		for range n {
			e := <-ends
			worst.first, worst.whole = max(worst.first, e.first), max(worst.whole, e.whole)
		}
		copies := float64(donor.Stats().BlobUp) / float64(len(blob))
		alone := time.Duration(n*len(blob)*8) * time.Second / 20e6
		s.t.Logf("%d newcomers have %d bytes in %v; the donor alone would take %v and sent %.1f copies; the last first piece came after %v",
			n, len(blob), worst.whole, alone, copies, worst.first)
		if worst.whole > alone/2 || copies > n/2 || worst.first > 5*time.Second {
			t.Error("want half the time, half the copies, and a first piece within 5 s")
		}
	})
}

// Peers take turns, however much each asks for; a peer has its share of slots at most; what is too much is sent away.
func TestUploadsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUploads(0)
		peer := func(i int) protocol.PeerID { return protocol.PeerID{1: byte(i)} }
		var order []int
		ask := func(i int) {
			go func() {
				if wait, err := u.enter(context.Background(), peer(i)); wait > 0 || err != nil {
					order = append(order, -i)
					return
				}
				order = append(order, i)
			}()
			synctest.Wait()
		}
		for range uploadShare + 1 { // the greedy one
			ask(1)
		}
		for range 2 {
			ask(2)
			ask(3)
			ask(4)
		}
		if want := []int{1, 1, 1, 1, -1, 2, 3, 4, 2}; !slices.Equal(order, want) {
			t.Fatalf("order %v, want %v", order, want)
		}
		order = nil
		for _, i := range []int{1, 1, 2, 3, 4, 2} {
			u.leave(peer(i))
			synctest.Wait()
		}
		// Four of peer 1 wait, and one each of 3 and 4. At the end peer 1 has its share, and two of its requests wait on.
		if want := []int{1, 3, 4, 1}; !slices.Equal(order, want) || u.n != 6 || u.queued != 2 {
			t.Fatalf("order %v, want %v", order, want)
		}
		for u.n > 0 {
			for i := range 5 {
				if u.active[peer(i)] > 0 {
					u.leave(peer(i))
					synctest.Wait()
				}
			}
		}
		if u.n != 0 || len(u.active) != 0 || u.queued != 0 || len(u.queue) != 0 || len(u.ring) != 0 {
			t.Errorf("left over: %+v", u)
		}
	})
}

// Who gives up frees its place, whether its turn has come or not.
func TestUploadsAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUploads(minRate) // one slot
		a, b := protocol.PeerID{1}, protocol.PeerID{2}
		u.each = 0
		if wait, err := u.enter(context.Background(), a); wait > 0 || err != nil {
			t.Fatal(wait, err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() {
			_, err := u.enter(ctx, b)
			done <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-done; err == nil || u.queued != 0 || len(u.ring) != 0 {
			t.Fatalf("%v, %+v", err, u)
		}
		u.leave(a)
		if u.n != 0 {
			t.Fatal("the slot is not free")
		}
		u.each = time.Hour
		u.enter(context.Background(), a)
		if wait, err := u.enter(context.Background(), b); wait != maxHint || err != nil {
			t.Fatalf("told to wait %v, %v", wait, err)
		}
	})
}

// In the fake clock the rate is exact, however many share it.
func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, each, sharers = 1 << 20, 1 << 20, 3
		l := newLimiter(rate)
		began := time.Now()
		done := make(chan error)
		for range sharers {
			go func() {
				_, err := io.Copy(limitedWriter{ctx: context.Background(), w: io.Discard, limit: l}, bytes.NewReader(make([]byte, each)))
				done <- err
			}()
		}
		for range sharers {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		want := time.Duration(sharers*each-rateStep) * time.Second / rate
		if took := time.Since(began); took < want-time.Millisecond || took > want+time.Millisecond {
			t.Errorf("%v, want %v", took, want)
		}
		if err := (*limiter)(nil).take(context.Background(), 1<<40); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := l.take(ctx, each); err == nil {
			t.Error("a cancelled wait is no error")
		}
	})
}

// A whole exchange keeps to Config.Up and Config.Down.
func TestRatesHold(t *testing.T) {
	blob := randomBlob(7, 8*pieceSize)
	for _, up := range []bool{true, false} {
		t.Run(fmt.Sprint("up ", up), func(t *testing.T) {
			inSim(t, simlink.Steady(10*time.Millisecond), func(s *sim) {
				const rate = 1 << 20
				h := s.host(simlink.Line(100, 100), func(c *Config) {
					if up {
						c.Up = rate
					}
				})
				h.ServeBlobs(newMemory(blob))
				reader := s.host(simlink.Line(100, 100), func(c *Config) {
					if !up {
						c.Down = rate
					}
				})
				took := s.fetches(reader, blob, []protocol.PeerID{h.ID()}, h.Addrs(), FetchOptions{})
				if want := 4 * time.Second; took < want-200*time.Millisecond || took > want+time.Second {
					t.Errorf("4 MiB at 1 MiB/s took %v", took)
				}
			})
		})
	}
}
