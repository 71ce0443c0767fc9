package gossip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"drystone/protocol"
)

// Every host hears every message of every other, over each transport, from one bootstrap address.
func TestHostsExchange(t *testing.T) {
	for _, tc := range []struct {
		name   string
		listen string
		hosts  int
	}{
		{"two over TCP", overTCP, 2},
		{"two over QUIC", overQUIC, 2},
		{"ten over TCP", overTCP, 10},
		{"ten over QUIC", overQUIC, 10},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var hosts []*Host
			var topics []joined
			for i := range tc.hosts {
				h := newHost(t, i, func(c *Config) {
					c.Listen = []string{tc.listen}
					if i > 0 {
						c.Bootstrap = hosts[0].Addrs()
					}
				})
				hosts = append(hosts, h)
				topics = append(topics, join(t, h, TopicControl, acceptAll))
			}
			for _, j := range topics {
				waitPeers(t, j.Topic, tc.hosts-1)
			}
			for i, j := range topics {
				publish(t, j.Topic, []byte(fmt.Sprint("from ", i)))
			}
			for i, j := range topics {
				heard := map[protocol.PeerID]string{}
				for range hosts {
					m := j.next(t)
					heard[m.From] = string(m.Data)
				}
				for k, h := range hosts {
					if heard[h.ID()] != fmt.Sprint("from ", k) {
						t.Fatalf("host %d heard %q from %d", i, heard[h.ID()], k)
					}
				}
			}
		})
	}
}

// A trainer publishes without subscribing: it is heard, and receives nothing.
func TestPublishOnly(t *testing.T) {
	a, b := newHost(t, 0, nil), newHost(t, 1, nil)
	ear := join(t, a, ShardTopic(3), acceptAll)
	mouth, err := b.Join(ShardTopic(3), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mouth.Subscribe(1); err == nil {
		t.Fatal("subscribed without a validator")
	}
	connect(t, b, a)
	waitPeers(t, mouth, 1)
	big := bytes.Repeat([]byte{7}, protocol.MaxMessage)
	publish(t, mouth, big)
	if m := ear.next(t); m.From != b.ID() || !bytes.Equal(m.Data, big) {
		t.Fatalf("got %d bytes from %s", len(m.Data), m.From)
	}
	if n := ear.Topic.Peers(); n != 0 {
		t.Fatalf("%d subscribers besides us", n)
	}
}

func TestPublishBounds(t *testing.T) {
	h := newHost(t, 0, nil)
	j := join(t, h, TopicCommit, func(_ context.Context, _ protocol.PeerID, data []byte) Verdict { return Verdict(data[0]) })
	for _, tc := range []struct {
		data []byte
		ok   bool
	}{
		{nil, false},
		{make([]byte, protocol.MaxMessage), true},
		{make([]byte, protocol.MaxMessage+1), false},
		{[]byte{byte(Ignore)}, true}, // what we know already, others may not
		{[]byte{byte(Reject)}, false},
		{[]byte{byte(Later)}, true},
		{[]byte{byte(Accept)}, true},
	} {
		if err := j.Publish(testContext(t), tc.data); (err == nil) != tc.ok {
			t.Errorf("%d bytes: %v", len(tc.data), err)
		}
	}
	if _, err := h.Join(TopicCommit, acceptAll); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("joined twice: %v", err)
	}
	for _, name := range []string{"", strings.Repeat("x", 65)} {
		if _, err := h.Join(name, acceptAll); err == nil {
			t.Errorf("joined %q", name)
		}
	}
}

// line connects a -> b -> c, so that what c hears has passed b's validator.
func line(t *testing.T, name string, middle ValidateFunc) (a, b, c joined, hosts []*Host) {
	for i := range 3 {
		// Peer exchange would connect the ends: one connection each is enough.
		hosts = append(hosts, newHost(t, i, func(cfg *Config) { cfg.Peers = 1; cfg.Listen = []string{overTCP} }))
	}
	a = join(t, hosts[0], name, acceptAll)
	b = join(t, hosts[1], name, middle)
	c = join(t, hosts[2], name, acceptAll)
	connect(t, hosts[0], hosts[1])
	connect(t, hosts[2], hosts[1])
	for _, j := range []joined{a, b, c} {
		links := 1
		if j == b {
			links = 2
		}
		if err := j.wait(testContext(t), links, j.Neighbours); err != nil {
			t.Fatal(err)
		}
	}
	return a, b, c, hosts
}

// The forwarder's verdict decides what travels on; a validator that panics only loses its message.
func TestVerdicts(t *testing.T) {
	a, b, c, _ := line(t, TopicControl, func(_ context.Context, _ protocol.PeerID, data []byte) Verdict {
		switch string(data) {
		case "ignore":
			return Ignore
		case "reject":
			return Reject
		case "panic":
			panic("a validator's bug")
		}
		return Accept
	})
	for _, word := range []string{"ignore", "reject", "panic", "accept"} {
		publish(t, a.Topic, []byte(word))
	}
	for _, j := range []joined{b, c} {
		if m := j.next(t); string(m.Data) != "accept" {
			t.Fatalf("heard %q", m.Data)
		}
	}
}

// A message that cannot be judged yet waits, and is delivered and forwarded after Recheck.
func TestLater(t *testing.T) {
	asked := make(chan struct{}, 16)
	ready := make(chan struct{})
	a, b, c, hosts := line(t, TopicControl, func(context.Context, protocol.PeerID, []byte) Verdict {
		defer func() { asked <- struct{}{} }()
		select {
		case <-ready:
			return Accept
		default:
			return Later
		}
	})
	publish(t, a.Topic, []byte("early"))
	<-asked
	hosts[1].Recheck() // nothing has changed: it goes on waiting
	<-asked
	close(ready)
	hosts[1].Recheck()
	for _, j := range []joined{b, c} {
		if m := j.next(t); string(m.Data) != "early" || m.From != hosts[0].ID() {
			t.Fatalf("heard %q", m.Data)
		}
	}
}

// A full buffer drops, counts and says so.
func TestSubscriptionOverflow(t *testing.T) {
	h := newHost(t, 0, nil)
	topic, err := h.Join(TopicCert, acceptAll)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := topic.Subscribe(2)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		publish(t, topic, []byte{byte(i)})
	}
	// Gossipsub handles publications in order: the other topic's delivery comes after all five.
	other := join(t, h, TopicControl, acceptAll)
	publish(t, other.Topic, []byte("x"))
	other.next(t)
	for i := range 2 {
		if m, err := sub.Next(testContext(t)); err != nil || m.Data[0] != byte(i) {
			t.Fatal(m, err)
		}
	}
	if topic.Lost() != 3 {
		t.Fatalf("lost %d, want 3", topic.Lost())
	}
}

func TestSubscriptionEnds(t *testing.T) {
	h := newHost(t, 0, nil)
	a, b := join(t, h, TopicCert, acceptAll), join(t, h, TopicControl, acceptAll)
	a.Cancel()
	if _, err := a.Next(testContext(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("after Cancel: %v", err)
	}
	done := make(chan error)
	go func() { _, err := b.Next(context.Background()); done <- err }()
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := b.Publish(testContext(t), []byte("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("publish after Close: %v", err)
	}
	if _, err := h.Join(TopicCommit, acceptAll); !errors.Is(err, ErrClosed) {
		t.Errorf("join after Close: %v", err)
	}
}

// Peers learn one another from one bootstrap address.
func TestMeshFormsFromOneAddress(t *testing.T) {
	first := newHost(t, 0, nil)
	var hosts []*Host
	for i := range 4 {
		h := newHost(t, i+1, func(c *Config) { c.Bootstrap = first.Addrs() })
		topic := join(t, h, TopicControl, acceptAll)
		hosts = append(hosts, h)
		// All that came before, though only the first was named.
		waitPeers(t, topic.Topic, i)
		for _, earlier := range hosts[:i] {
			if !slices.Contains(h.Peers(), earlier.ID()) {
				t.Fatalf("host %d does not know an earlier one", i)
			}
		}
	}
}
