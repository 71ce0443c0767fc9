package node

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"drystone/internal/simtest/simlink"
	"drystone/protocol"
)

// A round of the 10.8 M model as computers of today train it: 30 steps of 8 sequences of 256, at the tokens/s that the figure
// step-tokens has for one with AVX-512.
const (
	overheadSteps  = 30
	overheadTokens = overheadSteps * 8 * 256
	overheadSpeed  = 5925
	overheadRounds = 3 // of which one is timed
)

// computing is how long a round computes on such a computer. In the bubble's clock training itself takes no time.
const computing = overheadTokens * time.Second / overheadSpeed

// overheadConfig describes a run of the 10.8 M model. The batch is one short sequence, so that a processor can play many
// trainers: what is sent is as large as with the long ones.
func overheadConfig(t *testing.T, trainers int) LocalConfig {
	t.Helper()
	data := tinyData()
	cfg := tinyConfig(t, 24, overheadRounds, trainers, nil)
	s := DemoSpec(24, overheadRounds, uint32(trainers))
	s.Founder = cfg.Spec.Founder
	s.Model.Dim, s.Model.Layers, s.Model.Heads, s.Model.KVHeads, s.Model.FFN, s.Model.Context = 384, 6, 6, 6, 1024, 8
	s.Train.Steps, s.Train.Segment, s.Train.Batch = overheadSteps, overheadSteps, 1
	s.Codec = homeCodec()
	s.Verify.Kind, s.Verify.Checks, s.Verify.Window = "prefix", 1, 64
	cfg.Spec = WithData(s, data)
	return cfg
}

// How much of a round's time trainers do not compute, on lines of 100 Mbit/s down and 20 up with 100 ms between any two:
// everything that a real run sends is sent over them. go test ./node -run Overhead -long
func TestCommOverhead(t *testing.T) {
	if !*long {
		t.Skip("trains the 10.8 M model for two rounds with 12 and with 60 trainers: -long")
	}
	for _, peers := range []int{16, 64} {
		for delay := range uint32(2) {
			t.Run(fmt.Sprintf("%d peers, delay %d", peers, delay), func(t *testing.T) { commOverhead(t, peers, delay) })
		}
	}
}

func commOverhead(t *testing.T, peers int, delay uint32) {
	cfg := overheadConfig(t, peers-4)
	cfg.Spec.Train.Delay, cfg.Spec.Train.Rounds = delay, overheadRounds+delay
	cfg.Edit = func(c *Config) { c.trained = func() { time.Sleep(computing) } }
	var arrived lastTime // of each round's state at the last trainer
	cfg.OnEvent = func(e Event) {
		if e.Kind == EventStep && e.Step == 1 {
			arrived.set(e.Round, time.Now())
		}
	}
	what := fmt.Sprintf("%d peers", peers)
	if delay > 0 {
		what = fmt.Sprintf("%d peers, delay %d", peers, delay)
	}
	simulateRun(t, cfg, simlink.Steady(50*time.Millisecond), everyLine(100, 20), func(t *testing.T, r *simRun) {
		h := r.Aggregators[1].history
		// Round 0 starts from a state that everyone has, with a delay round 1 too; the next is like all that follow.
		timed := 1 + delay
		eventually(t, t.Context(), h, protocol.KindOpen, timed)
		began, up, down := time.Now(), r.blobBytes(true), r.blobBytes(false)
		sent, received := r.packets(len(r.Aggregators))
		at := map[protocol.Kind]float64{}
		for _, k := range []protocol.Kind{protocol.KindFreeze, protocol.KindRevealSet, protocol.KindCertificate} {
			eventually(t, t.Context(), h, k, timed)
			at[k] = time.Since(began).Seconds()
		}
		eventually(t, t.Context(), h, protocol.KindOpen, timed+1)
		took := time.Since(began)
		up, down = r.blobBytes(true)-up, r.blobBytes(false)-down
		allSent, allReceived := r.packets(len(r.Aggregators))
		checkStayed(t, h, r.Trainers, timed+1)
		share := 100 * (1 - computing.Seconds()/took.Seconds())
		n := uint64(len(r.Trainers))
		t.Logf("figure comm-overhead|%s|%.1f|a round takes %.2f s, of which %.2f s compute %d tokens at %d tokens/s; from the Open on the last "+
			"trainer has its state at %.2f s, all commits are frozen at %.2f, the reveals attested at %.2f, the result is certified at %.2f; "+
			"a trainer fetches %.2f MB of blobs a round and serves %.2f MB, and its packets of all kinds are %.2f MB up and %.2f MB down",
			what, share, took.Seconds(), computing.Seconds(), overheadTokens, overheadSpeed, arrived.of(timed).Sub(began).Seconds(),
			at[protocol.KindFreeze], at[protocol.KindRevealSet], at[protocol.KindCertificate], float64(down/n)/1e6, float64(up/n)/1e6,
			float64(allSent-sent)/1e6/float64(n), float64(allReceived-received)/1e6/float64(n))
	})
}

// lastTime keeps the last time that was set for each round.
type lastTime struct {
	mu sync.Mutex
	at map[uint32]time.Time
}

func (l *lastTime) set(round uint32, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at == nil {
		l.at = map[uint32]time.Time{}
	}
	if now.After(l.at[round]) {
		l.at[round] = now
	}
}

func (l *lastTime) of(round uint32) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at[round]
}

// blobBytes returns what all trainers have sent, or received, of blobs.
func (r *simRun) blobBytes(sent bool) (sum uint64) {
	for _, tr := range r.Trainers {
		if s := tr.host.Stats(); sent {
			sum += s.BlobUp
		} else {
			sum += s.BlobDown
		}
	}
	return sum
}

// homeCodec is for home lines: up 200 times below dense float32, down 50 times (go run ./bench run bytes-per-peer). Aggregators
// owe the whole of what they leave out.
func homeCodec() protocol.CodecSpec {
	return protocol.CodecSpec{Up: "rice", TopK: 64, ValueBits: 2, Decay: 0.95, ShardParams: 1 << 21,
		Down: "rice", DownTopK: 320, DownValueBits: 2, DownDecay: 1}
}
