package trial

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"drystone/protocol"
)

// command is a line that a member obeys, as JSON. Fields that are not set change nothing.
type command struct {
	Peers []string       `json:",omitempty"` // where the members are now
	Die   *string        `json:",omitempty"` // kill yourself in this phase, when you lead
	Probe uint64         `json:",omitempty"` // log a Join of the last peer with this nonce
	Net   *network       `json:",omitempty"`
	Jump  *time.Duration `json:",omitempty"` // the time of day is off by so much
	Disk  string         `json:",omitempty"` // the disk under Raft's log fails in this way from now on
}

// network is what is wrong between this member and others.
type network struct {
	Delay time.Duration // one way
	Loss  float64       // of packets
	Cut   []int         // members out of reach
}

// obey follows commands until they end.
func (m *member) obey(ctx context.Context, lines *bufio.Reader) error {
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		var c command
		if err == nil {
			err = json.Unmarshal(line, &c)
		}
		if err != nil {
			return fmt.Errorf("command: %w", err)
		}
		if c.Peers != nil {
			go m.connect(ctx, slices.Clone(c.Peers))
		}
		if c.Die != nil {
			m.die.Store(c.Die)
		}
		if c.Net != nil {
			m.faults.Set(c.Net.Delay, c.Net.Loss)
			var cut []protocol.PeerID
			for _, i := range c.Net.Cut {
				cut = append(cut, m.w.Aggs[i].ID())
			}
			m.faults.Cut(cut...)
		}
		if c.Jump != nil {
			m.clock.off.Store(int64(*c.Jump))
		}
		if c.Disk != "" {
			m.disk.fail(c.Disk)
		}
		if c.Probe != 0 {
			go m.probe(ctx, c.Probe)
		}
	}
}

// connect brings this host to the others, who may be starting.
func (m *member) connect(ctx context.Context, addrs []string) {
	for range 100 {
		if m.host.Connect(ctx, addrs) == nil {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
}

// probe logs a record that nobody else proposes, and reports when it is.
func (m *member) probe(ctx context.Context, nonce uint64) {
	if r := m.replica.Load(); r != nil && r.Propose(ctx, m.w.Join(len(m.w.Peers)-1, nonce)) == nil {
		m.say(Event{Kind: kindProbed, Nano: time.Now().UnixNano()})
	}
}
