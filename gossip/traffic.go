package gossip

import (
	"strings"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
)

// Traffic is what went over the network since the host started. Names are those of this run's protocols and topics, cut
// to what follows the RunID; there are as many as this program has.
type Traffic struct {
	Peers     int // connected now
	Protocols map[string]Bytes
	Topics    map[string]TopicTraffic
	Calls     map[string]CallTimes // calls made to others
}

// Bytes counts payload bytes of streams, before encryption.
type Bytes struct{ In, Out int64 }

// TopicTraffic is one joined topic's.
type TopicTraffic struct {
	Mesh int // neighbours in gossipsub's mesh now
	In   Count
	Out  Count // copies sent to neighbours, forwarded ones included
}

// Count counts messages and their bytes.
type Count struct{ Messages, Bytes uint64 }

// CallTimes says how long calls took, failed ones included.
type CallTimes struct {
	Count, Failed uint64
	Seconds       float64
	Within        [len(CallBounds)]uint64 // calls that took at most as long as the bound in the same place
}

// CallBounds are the bounds of CallTimes, in seconds.
var CallBounds = [...]float64{0.005, 0.02, 0.1, 0.5, 2, 10, 60}

// Traffic returns the host's traffic so far.
func (h *Host) Traffic() Traffic {
	t := Traffic{Peers: len(h.lib.Network().Peers()), Protocols: map[string]Bytes{}, Topics: map[string]TopicTraffic{}, Calls: h.calls.read()}
	run := "/drystone/1/" + h.cfg.Run.String() + "/"
	for id, s := range h.flows.read() {
		name, ours := strings.CutPrefix(string(id), run)
		switch {
		case ours:
		case string(id) == string(gossipID):
			name = "gossip"
		default:
			name = "libp2p" // identify, ping, DHT, relay
		}
		b := t.Protocols[name]
		t.Protocols[name] = Bytes{b.In + s.In, b.Out + s.Out}
	}
	h.mu.Lock()
	topics := make([]*Topic, 0, len(h.topics))
	for _, x := range h.topics {
		topics = append(topics, x)
	}
	h.mu.Unlock()
	for _, x := range topics {
		x.mu.Lock()
		t.Topics[x.name] = TopicTraffic{Mesh: len(x.mesh), In: x.in, Out: x.out}
		x.mu.Unlock()
	}
	return t
}

// callTimes measures calls. It is safe for concurrent use.
type callTimes struct {
	mu     sync.Mutex
	byName map[string]CallTimes
}

func (c *callTimes) note(name string, took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byName == nil {
		c.byName = map[string]CallTimes{}
	}
	t := c.byName[name]
	t.Count++
	if err != nil {
		t.Failed++
	}
	t.Seconds += took.Seconds()
	for i := range CallBounds {
		if took.Seconds() <= CallBounds[i] {
			t.Within[i]++
		}
	}
	c.byName[name] = t
}

func (c *callTimes) read() map[string]CallTimes {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]CallTimes, len(c.byName))
	for name, t := range c.byName {
		out[name] = t
	}
	return out
}

func (t *Topic) count(in bool, size int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &t.out
	if in {
		c = &t.in
	}
	c.Messages++
	c.Bytes += uint64(size)
}

// countSent counts the messages of an RPC that goes to a neighbour.
func (tr tracer) countSent(rpc *pubsub.RPC) {
	for _, m := range rpc.GetPublish() {
		if t := tr.topic(m.GetTopic()); t != nil {
			t.count(false, len(m.GetData()))
		}
	}
}

// countDelivered counts a message of a neighbour that was good; own ones come by here too.
func (tr tracer) countDelivered(m *pubsub.Message) {
	if t := tr.topic(m.GetTopic()); t != nil && !m.Local {
		t.count(true, len(m.GetData()))
	}
}
