package gossip

import (
	"context"
	"fmt"
	"testing"
	"time"

	"drystone/internal/simtest/simlink"
	"drystone/protocol"
)

// badDonors are donors that do harm, each in its way. They say that they have all.
var badDonors = []struct {
	name string
	// piece answers a request for a piece.
	piece func(ctx context.Context) ([]byte, error)
	shun  bool // it is to be shunned
}{
	{"sends garbage", func(context.Context) ([]byte, error) { return make([]byte, 999), nil }, true},
	{"stalls", func(ctx context.Context) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}, true},
	{"has nothing", func(context.Context) ([]byte, error) { return nil, Errorf(CodeNotFound, "no") }, true},
	{"is always busy", func(context.Context) ([]byte, error) {
		return pieceReply{wait: maxHint, have: have{size: 24 * pieceSize}}.append(nil), nil
	}, false},
	{"fails", func(context.Context) ([]byte, error) { return nil, fmt.Errorf("no reason given") }, false},
}

// Bad donors, as many of each kind as there are good ones, delay a fetch by less than a second, and those that lie, stall or
// say again that they have what they do not give are shunned from then on: neither asked nor served.
func TestBadDonors(t *testing.T) {
	blob := randomBlob(8, 24*pieceSize)
	d := protocol.MerkleRoot(blob)
	fetch := func(s *sim, bad func(addrs *[]string, ids *[]protocol.PeerID)) (*Host, time.Duration) {
		ids, addrs := s.donors(2, simlink.Line(100, 20), blob)
		bad(&addrs, &ids)
		h := s.host(simlink.Line(100, 20), nil)
		h.ServeBlobs(newMemory(blob))
		return h, s.fetches(h, blob, ids, addrs, FetchOptions{})
	}
	var alone time.Duration
	inSim(t, simlink.Steady(50*time.Millisecond), func(s *sim) {
		_, alone = fetch(s, func(*[]string, *[]protocol.PeerID) {})
	})
	for _, kind := range badDonors {
		t.Run(kind.name, func(t *testing.T) {
			inSim(t, simlink.Steady(50*time.Millisecond), func(s *sim) {
				var bad []*Host
				h, took := fetch(s, func(addrs *[]string, ids *[]protocol.PeerID) {
					for range 2 {
						x := s.host(simlink.Line(100, 20), nil)
						bad = append(bad, x)
						x.Handle(haveCall, 32, func(context.Context, protocol.PeerID, []byte) ([]byte, error) {
							return have{size: int64(len(blob))}.append(nil), nil
						})
						x.Handle(pieceCall, pieceRequest, func(ctx context.Context, _ protocol.PeerID, _ []byte) ([]byte, error) {
							return kind.piece(ctx)
						})
						*addrs, *ids = append(*addrs, x.Addrs()...), append(*ids, x.ID())
					}
				})
				if took > alone+time.Second {
					t.Errorf("%v, and %v without bad donors", took, alone)
				}
				time.Sleep(2 * stallAfter) // what was asked of a staller ends
				for _, x := range bad {
					if h.Shuns(x.ID()) != kind.shun {
						t.Errorf("shunned is not %v", kind.shun)
					}
					_, err := x.Call(s.t.Context(), h.ID(), haveCall, d[:], maxHave)
					if (err != nil) != kind.shun {
						t.Errorf("it asks for a blob: %v", err)
					}
				}
			})
		})
	}
}

// A reader that takes nothing in does not hold a donor's slots for ever, and is remembered; others are served meanwhile.
func TestReaderThatStalls(t *testing.T) {
	blob := randomBlob(9, 30*pieceSize)
	d := protocol.MerkleRoot(blob)
	inSim(t, simlink.Steady(10*time.Millisecond), func(s *sim) {
		ids, addrs := s.donors(1, simlink.Line(100, 100), blob)
		donor := s.hosts[0]
		bad, good := s.host(simlink.Line(100, 20), nil), s.host(simlink.Line(100, 20), nil)
		s.connect(bad, addrs)
		for i := range uploadShare {
			stream, err := bad.openStream(s.t.Context(), donor.ID(), bad.protocolID("call", pieceCall))
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Reset()
			if _, err := stream.Write(appendFrame(nil, encodePieceRequest(d, i))); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if took := s.fetches(good, blob, ids, addrs, FetchOptions{}); took > 5*time.Second {
			t.Errorf("another took %v", took)
		}
		time.Sleep(4 * stallAfter)
		if !donor.Shuns(bad.ID()) || donor.Shuns(good.ID()) {
			t.Errorf("shunned: the stalling reader %v, the other %v", donor.Shuns(bad.ID()), donor.Shuns(good.ID()))
		}
		donor.blobs.uploads.mu.Lock()
		defer donor.blobs.uploads.mu.Unlock()
		if n := donor.blobs.uploads.n; n != 0 || donor.blobs.uploads.queued != 0 {
			t.Errorf("%d slots are still taken", n)
		}
	})
}
