package node

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"drystone/gossip"
	"drystone/internal/simtest/simlink"
	"drystone/protocol"
)

// hostile is what a stranger on the network does to a run until ctx ends.
type hostile struct {
	name string
	do   func(ctx context.Context, r *simRun, h *gossip.Host)
}

var hostiles = []hostile{
	{"flood", flood},
	{"garbage", garbage},
	{"withholds", withhold},
	{"replays", replayOld},
	{"stalls", stall},
}

// Among strangers of every kind the rounds of honest peers take at most 5 % longer, all end with the same state, and every
// one of the strangers is scored out: shunned in the exchange of blobs, or not listened to. go test ./node -run HostilePeers -long
func TestHostilePeers(t *testing.T) {
	if !*long {
		t.Skip("plays two runs, one of them flooded: -long")
	}
	const rounds, trainers = 8, 5
	play := func(among []hostile) (took time.Duration) {
		cfg := tinyConfig(t, 25, rounds, trainers, nil)
		cfg.Spec.Model.Dim, cfg.Spec.Model.FFN, cfg.Spec.Model.Layers = 128, 384, 2 // a state of several pieces
		cfg.Spec.Codec.ShardParams = 1 << 17
		cfg.Spec.Aggregate.StartPeers = trainers + 1 // the last comes when the strangers are at work
		cfg.OnEvent = func(e Event) {
			if e.Kind == EventTrained {
				time.Sleep(20 * time.Second)
			}
		}
		simulateRun(t, cfg, simlink.Steady(50*time.Millisecond), everyLine(100, 20), func(t *testing.T, r *simRun) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var hosts []*gossip.Host
			var out []*atomic.Bool // scored out at some time
			for _, x := range among {
				h := r.stranger(x.name)
				hosts, out = append(hosts, h), append(out, new(atomic.Bool))
				go x.do(ctx, r, h)
				go r.watchOut(ctx, h, out[len(out)-1])
			}
			time.Sleep(10 * time.Second)
			last, err := r.trainer(t.Context(), 25, "last", r.cfg.OnEvent)
			if err != nil {
				t.Fatal(err)
			}
			r.Trainers = append(r.Trainers, last)
			eventually(t, t.Context(), r.Aggregators[0].history, protocol.KindOpen, 0)
			began := time.Now()
			checkSameEnd(t, r, rounds)
			took = time.Since(began)
			checkStayed(t, r.Aggregators[0].history, r.Trainers, rounds)
			for i, x := range among {
				if !out[i].Load() {
					t.Errorf("%s: nobody found it out", x.name)
				}
			}
			cancel()
			for _, h := range hosts {
				if err := h.Close(); err != nil {
					t.Error(err)
				}
			}
		})
		return took
	}
	alone, among := play(nil), play(hostiles)
	slower := 100 * (among.Seconds()/alone.Seconds() - 1)
	t.Logf("figure hostile-peers|floods, garbage, withholding, replays, stalls|%.1f|%d rounds among honest peers in %.1f s, with %d strangers in %.1f s",
		slower, rounds, alone.Seconds(), len(hostiles), among.Seconds())
	if slower > 5 {
		t.Errorf("%.1f %% slower, at most 5", slower)
	}
}

// stranger starts a host that knows every aggregator and belongs to nobody.
func (r *simRun) stranger(name string) *gossip.Host {
	c := Config{}
	r.place(&c)
	var boot []string
	for _, a := range r.Aggregators {
		boot = append(boot, a.host.Addrs()...)
	}
	h, err := gossip.New(gossip.Config{Key: protocol.DeriveKey(25, "stranger/"+name), Run: r.Run, Listen: c.Listen, Network: c.Network, Bootstrap: boot})
	if err != nil {
		r.t.Fatal(err)
	}
	return h
}

// watchOut waits until honest peers have scored a stranger out.
func (r *simRun) watchOut(ctx context.Context, h *gossip.Host, out *atomic.Bool) {
	var honest []*gossip.Host
	for _, a := range r.Aggregators {
		honest = append(honest, a.host)
	}
	for _, tr := range r.Trainers {
		honest = append(honest, tr.host)
	}
	for waitFor(ctx, time.Second) {
		for _, x := range honest {
			if x.Shuns(h.ID()) || x.Unheard(h.ID()) {
				out.Store(true)
			}
		}
	}
}

// flood publishes noise on every topic and keeps calls of every kind under way to everyone.
func flood(ctx context.Context, r *simRun, h *gossip.Host) {
	rng := rand.NewChaCha8([32]byte{1})
	for _, name := range []string{gossip.TopicCommit, gossip.TopicControl, gossip.TopicHave, gossip.ShardTopic(0)} {
		topic, err := h.Join(name, nil)
		if err != nil {
			r.t.Error(err)
			return
		}
		go func() {
			for waitFor(ctx, 50*time.Millisecond) {
				noise := make([]byte, 2000)
				rng.Read(noise)
				_ = topic.Publish(ctx, noise) // whether it leaves is its neighbours' affair
			}
		}()
	}
	for range 20 {
		go func() {
			for waitFor(ctx, 20*time.Millisecond) {
				for _, p := range h.Peers() {
					for _, call := range []string{callStatements, callStatus, "blob/have", "blob/piece"} {
						_, _ = h.Call(ctx, p, call, make([]byte, 36), 1<<20)
					}
				}
			}
		}()
	}
}

// announcing tells of every state of the run that it is here.
func announcing(ctx context.Context, r *simRun, h *gossip.Host) {
	haves, err := h.JoinHaves(func(protocol.Digest) bool { return true })
	if err != nil {
		r.t.Error(err)
		return
	}
	said := map[protocol.Digest]bool{}
	for waitFor(ctx, 200*time.Millisecond) {
		chain := r.Aggregators[0].history
		for _, d := range chain.states(chain.rounds()) {
			if !said[d] {
				said[d] = haves.Announce(ctx, d) == nil
			}
		}
	}
}

// says is the answer to blob/have of who claims to have all of the state.
func says(r *simRun) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(4*r.Trainers[0].params))
}

// garbage serves pieces of noise.
func garbage(ctx context.Context, r *simRun, h *gossip.Host) {
	h.Handle("blob/have", 32, func(context.Context, protocol.PeerID, []byte) ([]byte, error) { return says(r), nil })
	h.Handle("blob/piece", 36, func(context.Context, protocol.PeerID, []byte) ([]byte, error) {
		return bytes.Repeat([]byte{0, 7}, 1000), nil
	})
	announcing(ctx, r, h)
}

// withhold says that it has all, and when asked that it has nothing.
func withhold(ctx context.Context, r *simRun, h *gossip.Host) {
	h.Handle("blob/have", 32, func(context.Context, protocol.PeerID, []byte) ([]byte, error) { return says(r), nil })
	h.Handle("blob/piece", 36, func(context.Context, protocol.PeerID, []byte) ([]byte, error) {
		return nil, gossip.Errorf(gossip.CodeNotFound, "not here")
	})
	announcing(ctx, r, h)
}

// stall says that it has all, and answers nothing after that.
func stall(ctx context.Context, r *simRun, h *gossip.Host) {
	h.Handle("blob/have", 32, func(context.Context, protocol.PeerID, []byte) ([]byte, error) { return says(r), nil })
	h.Handle("blob/piece", 36, func(call context.Context, _ protocol.PeerID, _ []byte) ([]byte, error) {
		<-call.Done()
		return nil, fmt.Errorf("too late: %w", call.Err())
	})
	announcing(ctx, r, h)
}

// replayOld hears everything and says it again, rounds later too.
func replayOld(ctx context.Context, r *simRun, h *gossip.Host) {
	for _, name := range []string{gossip.TopicCommit, gossip.TopicControl, gossip.TopicCert, gossip.ShardTopic(0)} {
		topic, err := h.Join(name, func(context.Context, protocol.PeerID, []byte) gossip.Verdict { return gossip.Accept })
		if err != nil {
			r.t.Error(err)
			return
		}
		sub, err := topic.Subscribe(1024)
		if err != nil {
			r.t.Error(err)
			return
		}
		go func() {
			var heard [][]byte
			for {
				next, cancel := context.WithTimeout(ctx, time.Second)
				m, err := sub.Next(next)
				cancel()
				if ctx.Err() != nil {
					return
				}
				if err == nil && m.From != h.ID() && len(heard) < 200 {
					heard = append(heard, m.Data)
				}
				for i := range min(len(heard), 5) {
					_ = topic.Publish(ctx, heard[(len(heard)-1-i)%len(heard)])
					_ = topic.Publish(ctx, heard[i])
				}
			}
		}()
	}
}
