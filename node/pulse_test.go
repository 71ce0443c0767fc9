package node

import (
	"sync"
	"testing"
	"time"

	"drystone/gossip"
)

// Rates are over the time between two pulses; what is left of a fetch is told at the rate at which blobs come.
func TestPulsemeter(t *testing.T) {
	var p pulsemeter
	now := time.Unix(1, 0)
	traffic := func(in, out int64) gossip.Traffic {
		return gossip.Traffic{Peers: 3, Protocols: map[string]gossip.Bytes{"gossip": {In: in / 2, Out: out}, "call/blob/piece": {In: in - in/2}},
			Topics: map[string]gossip.TopicTraffic{gossip.TopicControl: {Mesh: 2}}}
	}
	stats := func(blob uint64, f ...gossip.FetchStats) gossip.Stats {
		return gossip.Stats{BlobDown: blob, Fetches: f}
	}
	if got := p.next(traffic(1e6, 1e6), stats(1e6), now); got != (Pulse{Peers: 3, Mesh: 2}) {
		t.Errorf("at first %+v", got)
	}
	now = now.Add(2 * time.Second)
	got := p.next(traffic(3e6, 1.5e6), stats(2e6, gossip.FetchStats{Done: 1e6, Size: 6e6}, gossip.FetchStats{}), now)
	if want := (Pulse{Peers: 3, Mesh: 2, Up: 2.5e5, Down: 1e6, Fetches: 2, Done: 1e6, Size: 6e6, Left: 10 * time.Second}); got != want {
		t.Errorf("while fetching %+v, want %+v", got, want)
	}
	now = now.Add(time.Second)
	if got = p.next(traffic(3e6, 1.5e6), stats(2e6, gossip.FetchStats{Done: 1e6, Size: 6e6}), now); got.Down != 0 || got.Left <= 10*time.Second {
		t.Errorf("while nothing comes %+v", got)
	}
	if got = p.next(traffic(3e6, 1.5e6), stats(2e6), now); got.Fetches != 0 || got.Left != 0 || got.Size != 0 {
		t.Errorf("after the fetch %+v", got)
	}
}

// A member that is watched tells of its network from the start until it closes.
func TestPulses(t *testing.T) {
	var mu sync.Mutex
	var best Pulse
	cfg := tinyConfig(t, 62, 2, 2, nil)
	cfg.Edit = func(c *Config) {
		c.OnPulse = func(p Pulse) {
			mu.Lock()
			defer mu.Unlock()
			best.Peers, best.Mesh, best.Up, best.Down = max(best.Peers, p.Peers), max(best.Mesh, p.Mesh), max(best.Up, p.Up), max(best.Down, p.Down)
		}
	}
	runLocal(t, cfg)
	mu.Lock()
	defer mu.Unlock()
	if best.Peers < 3 || best.Mesh < 1 || best.Up <= 0 || best.Down <= 0 {
		t.Errorf("at best %+v", best)
	}
}
