package gossip

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/marcopolo/simnet"

	"drystone/internal/simtest/simlink"
	"drystone/protocol"
)

// sim is a simulated network in a fake clock, whose hosts have lines of their own.
type sim struct {
	t       *testing.T
	network *simlink.Network
	hosts   []*Host
	counts  []*atomic.Int64
}

// bytes returns what each host has sent and received.
func (s *sim) bytes() (out []int64) {
	for _, c := range s.counts {
		out = append(out, c.Load())
	}
	return out
}

// inSim runs test in a bubble; latency is one way between two hosts, in the order of their start.
func inSim(t *testing.T, latency func(from, to int) time.Duration, test func(s *sim)) {
	synctest.Test(t, func(t *testing.T) {
		s := &sim{t: t, network: simlink.New(latency)}
		defer s.network.Close()
		defer func() {
			for _, h := range s.hosts {
				if err := h.Close(); err != nil {
					t.Error(err)
				}
			}
		}()
		test(s)
	})
}

// host starts a host on a line.
func (s *sim) host(at simnet.NodeBiDiLinkSettings, edit func(*Config)) *Host {
	n := len(s.hosts)
	place := s.network.Join(at)
	cfg := Config{
		Key:     protocol.DeriveKey(1, fmt.Sprint("sim", n)),
		Run:     testRun,
		Listen:  place.Listen,
		Logger:  logTo(s.t, fmt.Sprint(n)),
		Network: place.Option,
	}
	if edit != nil {
		edit(&cfg)
	}
	h, err := New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.hosts, s.counts = append(s.hosts, h), append(s.counts, place.Bytes)
	return h
}

// donors are hosts that serve a blob.
func (s *sim) donors(n int, at simnet.NodeBiDiLinkSettings, blob []byte) (ids []protocol.PeerID, addrs []string) {
	for range n {
		h := s.host(at, nil)
		m := newMemory(blob)
		h.ServeBlobs(m)
		warm(s.t, h, m, protocol.MerkleRoot(blob))
		ids, addrs = append(ids, h.ID()), append(addrs, h.Addrs()...)
	}
	return ids, addrs
}

// connect dials side by side, as discovery does.
func (s *sim) connect(h *Host, addrs []string) {
	s.t.Helper()
	infos, err := parseAddrs(addrs)
	if err != nil {
		s.t.Fatal(err)
	}
	h.dial(infos)
}

// fetches returns how long host h takes for the blob, the connections included.
func (s *sim) fetches(h *Host, blob []byte, from []protocol.PeerID, addrs []string, opt FetchOptions) time.Duration {
	s.t.Helper()
	began := time.Now()
	s.connect(h, addrs)
	opt.Size = int64(len(blob))
	got, err := h.Fetch(s.t.Context(), protocol.MerkleRoot(blob), opt.Size, from, opt)
	if err != nil || !bytes.Equal(got, blob) {
		s.t.Fatal(len(got), err)
	}
	took := time.Since(began)
	s.t.Logf("%d bytes in %v, %d received", len(blob), took, h.Stats().BlobDown)
	return took
}

// joinTimes fetches a state over 100 Mbit/s from 1 and from 8 donors with the same uplink.
func joinTimes(t *testing.T, size int, up float64, latency time.Duration) (one, eight time.Duration) {
	blob := randomBlob(1, size)
	for _, n := range []int{1, 8} {
		inSim(t, simlink.Steady(latency), func(s *sim) {
			ids, addrs := s.donors(n, simlink.Line(100, up), blob)
			took := s.fetches(s.host(simlink.Line(100, up), nil), blob, ids, addrs, FetchOptions{})
			if n == 1 {
				one = took
			} else {
				eight = took
			}
		})
	}
	return one, eight
}

// The state arrives from 8 donors at least 4 times as fast as from one with the same uplink.
func TestDonorsAddUp(t *testing.T) {
	if testing.Short() {
		t.Skip("simulated transfers take seconds of processor time")
	}
	one, eight := joinTimes(t, 44e6, 20, 50*time.Millisecond)
	t.Logf("figure join-donors|8 donors against 1|%.2f|%.1f s from 1, %.1f s from 8", one.Seconds()/eight.Seconds(), one.Seconds(), eight.Seconds())
	if one < 4*eight {
		t.Error("want 4 times")
	}
}

// resumable keeps parts in memory.
type resumable struct{ frames [][]byte }

func (r *resumable) Frames(_ int, yield func([]byte) bool) error {
	for _, f := range r.frames {
		if !yield(f) {
			return nil
		}
	}
	return nil
}

func (r *resumable) Append(frame []byte) error {
	r.frames = append(r.frames, bytes.Clone(frame))
	return nil
}

func (r *resumable) Close() error { return nil }

// A fetch that was cut off goes on where it was; what was damaged meanwhile is fetched again.
func TestFetchResumes(t *testing.T) {
	blob := randomBlob(5, 20*pieceSize)
	d := protocol.MerkleRoot(blob)
	inSim(t, simlink.Steady(20*time.Millisecond), func(s *sim) {
		ids, addrs := s.donors(2, simlink.Line(100, 20), blob)
		h := s.host(simlink.Line(100, 20), nil)
		s.connect(h, addrs)
		var part resumable
		opt := FetchOptions{Part: func() (PartStore, error) { return &part, nil }}
		ctx, cancel := context.WithCancel(s.t.Context())
		opt.Progress = func(done, _ int64) {
			if done >= 12*pieceSize {
				cancel()
			}
		}
		if _, err := h.Fetch(ctx, d, int64(len(blob)), ids, opt); err == nil {
			t.Fatal("not cut off")
		}
		had := len(part.frames)
		part.frames[3][99] ^= 1
		before := h.Stats().BlobDown
		opt.Progress = nil
		got, err := h.Fetch(s.t.Context(), d, int64(len(blob)), ids, opt)
		if err != nil || !bytes.Equal(got, blob) {
			t.Fatal(len(got), err)
		}
		fetched := (h.Stats().BlobDown - before) / pieceSize
		if want := uint64(20 - had + 1); fetched < want || fetched > want+2 {
			t.Errorf("%d pieces fetched after the cut, with %d kept of which one was damaged", fetched, had)
		}
	})
}
