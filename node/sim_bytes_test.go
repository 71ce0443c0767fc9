package node

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"drystone/aggregate"
	"drystone/gossip"
	"drystone/internal/durable"
	"drystone/internal/simtest/simlink"
	"drystone/protocol"
	"drystone/trainer"
)

// bytesRounds is how many rounds are trained; the last one, which has error feedback to send, is measured.
const bytesRounds = 2

// What one peer of the 10.8 M model sends and gets in a round, at 200 and at 50 times below dense: payloads of real training,
// and the same on the wire, with the messages around them, the frames of gossip and blobs, QUIC, UDP and IPv4, acknowledgements
// included, one copy of each. go test ./node -run BytesPerPeer -long
func TestBytesPerPeer(t *testing.T) {
	if !*long {
		t.Skip("trains the 10.8 M model for two rounds with 16 and with 64 peers: -long")
	}
	for _, peers := range []int{16, 64} {
		t.Run(fmt.Sprint(peers), func(t *testing.T) {
			data := tinyData()
			s := overheadConfig(t, peers).Spec
			r := playRounds(t, s, data, peers)
			r.rows(t, peers)
		})
	}
}

// played is a peer's last contribution and what the merge of all sends down.
type played struct {
	spec   *protocol.RunSpec
	params int
	own    *trainer.Contribution
	down   [][]byte
}

// playRounds trains and merges without a network.
func playRounds(t *testing.T, s protocol.RunSpec, data []byte, peers int) *played {
	t.Helper()
	set, err := trainer.OpenDataset(s.Data, data)
	if err != nil {
		t.Fatal(err)
	}
	run, err := s.ID()
	if err != nil {
		t.Fatal(err)
	}
	device, err := trainer.NewDevice(&s, run, set, runtime.GOMAXPROCS(0))
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	theta, err := device.Genesis()
	if err != nil {
		t.Fatal(err)
	}
	p := &played{spec: &s, params: len(theta)}
	var ids []protocol.PeerID
	for i := range peers {
		ids = append(ids, protocol.DeriveKey(1, fmt.Sprintf("peer/%d", i)).ID())
	}
	slices.SortFunc(ids, func(a, b protocol.PeerID) int { return bytes.Compare(a[:], b[:]) })
	outer, feedback := make([]float32, s.OuterState(len(theta))), make([][]float32, peers)
	for round := range uint32(bytesRounds) {
		var in []aggregate.Contribution
		for i, id := range ids {
			c, err := device.Train(t.Context(), protocol.Assignment{Run: run, Round: round, Index: uint32(i), Steps: s.Train.Steps}, theta,
				trainer.TrainOptions{Peer: id, Feedback: feedback[i], Salt: func(shard uint32) ([16]byte, error) { return [16]byte{byte(shard)}, nil }})
			if err != nil {
				t.Fatal(err)
			}
			feedback[i], p.own = c.After, c
			in = append(in, aggregate.Contribution{Peer: id, Steps: s.Train.Steps, Payloads: c.Payloads})
		}
		r, err := aggregate.MergeContext(t.Context(), &s, theta, outer, in)
		if err != nil {
			t.Fatal(err)
		}
		theta, outer, p.down = r.Theta, r.Outer, r.Down
	}
	return p
}

// rows prints and checks the rows of the figure.
func (p *played) rows(t *testing.T, peers int) {
	dense := float64(4 * p.params)
	// A ring sums dense gradients: each peer sends, and gets, 2 (n-1)/n of them in every step.
	perStep := dense * 2 * float64(peers-1) / float64(peers) * float64(p.spec.Train.Steps)
	sent, got := p.wireUp(t, peers), p.wireDown(t)
	for _, row := range []struct {
		what  string
		bytes int64
		least float64
	}{
		{"up, payload", total(p.own.Payloads), 200}, {"up, on the wire", sent, 180}, {"down, payload", total(p.down), 50}, {"down, on the wire", got, 50},
	} {
		ratio := dense / float64(row.bytes)
		t.Logf("figure bytes-per-peer|%d peers, %s|%.1f|%d bytes a round, dense float32 %.0f; %.0f times below a float32 all-reduce in each of %d steps",
			peers, row.what, ratio, row.bytes, dense, perStep/float64(row.bytes), p.spec.Train.Steps)
		if ratio < row.least {
			t.Errorf("%s: %.1f times below dense, want at least %.0f", row.what, ratio, row.least)
		}
	}
}

func total(payloads [][]byte) (sum int64) {
	for _, p := range payloads {
		sum += int64(len(p))
	}
	return sum
}

// bytesHost is a host on the network with a wire that counts.
func bytesHost(t *testing.T, n *simlink.Network, name string, boot []string) (*gossip.Host, *simlink.Wire) {
	at := n.Join(simlink.Line(100, 20))
	h, err := gossip.New(gossip.Config{Key: protocol.DeriveKey(2, name), Run: protocol.Hash("bytes"), Listen: at.Listen, Network: at.Option,
		Bootstrap: boot, NoLAN: true, Book: filepath.Join(t.TempDir(), "peers"), CallTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return h, at.Wire
}

// inBytesBubble runs test on a simulated network of home lines.
func inBytesBubble(t *testing.T, test func(t *testing.T, n *simlink.Network)) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		n := simlink.New(simlink.Steady(50 * time.Millisecond))
		defer n.Close()
		test(t, n)
	})
}

// wireUp publishes a peer's commit and reveals to one aggregator, and returns what the peer has sent.
func (p *played) wireUp(t *testing.T, peers int) (sent int64) {
	var messages [][2][]byte // topic and data
	commit := protocol.Sign(protocol.DeriveKey(2, "trainer"), p.own.Commit(protocol.Hash("open")))
	messages = append(messages, [2][]byte{[]byte(gossip.TopicCommit), commit.Encode()})
	leaves := make([]protocol.Digest, peers)
	for k := range p.own.Payloads {
		r, err := p.own.Reveal(uint32(k), protocol.PathTo(leaves, peers/2))
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, [2][]byte{[]byte(gossip.ShardTopic(k)), r.Encode()})
	}
	accept := func(context.Context, protocol.PeerID, []byte) gossip.Verdict { return gossip.Accept }
	inBytesBubble(t, func(t *testing.T, n *simlink.Network) {
		ear, _ := bytesHost(t, n, "aggregator", nil)
		defer ear.Close()
		mouth, wire := bytesHost(t, n, "trainer", ear.Addrs())
		defer mouth.Close()
		var topics []*gossip.Topic
		var heard []*gossip.Subscription
		for _, m := range messages {
			in, err := ear.Join(string(m[0]), accept)
			if err != nil {
				t.Fatal(err)
			}
			sub, err := in.Subscribe(4)
			if err != nil {
				t.Fatal(err)
			}
			out, err := mouth.Join(string(m[0]), nil)
			if err != nil {
				t.Fatal(err)
			}
			topics, heard = append(topics, out), append(heard, sub)
		}
		time.Sleep(time.Minute)
		before := wire.Sent.Load()
		for i, m := range messages {
			if err := topics[i].Publish(t.Context(), m[1]); err != nil {
				t.Fatal(err)
			}
		}
		for i, sub := range heard {
			if m, err := sub.Next(t.Context()); err != nil || !bytes.Equal(m.Data, messages[i][1]) {
				t.Fatalf("message %d: %v", i, err)
			}
		}
		time.Sleep(time.Second)
		sent = wire.Sent.Load() - before
	})
	return sent
}

// wireDown fetches the payloads from four aggregators, and returns what the peer has received.
func (p *played) wireDown(t *testing.T) (received int64) {
	inBytesBubble(t, func(t *testing.T, n *simlink.Network) {
		var boot []string
		var from []protocol.PeerID
		for i := range 4 {
			h, _ := bytesHost(t, n, fmt.Sprintf("aggregator/%d", i), boot)
			defer h.Close()
			store, err := durable.OpenStore(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if err := (&member{blobs: store}).putUpdates(p.down...); err != nil {
				t.Fatal(err)
			}
			h.ServeBlobs(store)
			boot, from = append(boot, h.Addrs()...), append(from, protocol.DeriveKey(2, fmt.Sprintf("aggregator/%d", i)).ID())
		}
		store, err := durable.OpenStore(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		h, wire := bytesHost(t, n, "trainer", boot)
		defer h.Close()
		time.Sleep(time.Minute)
		before := wire.Received.Load()
		m := member{host: h, blobs: store, spec: p.spec, params: p.params}
		r := aggregate.Result{Theta: make([]float32, p.params), Down: p.down}
		cert := &protocol.Certificate{Updates: r.Updates(p.spec)}
		if err := m.step(t.Context(), cert, make([]float32, p.params), func() []protocol.PeerID { return from }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		received = wire.Received.Load() - before
	})
	return received
}
