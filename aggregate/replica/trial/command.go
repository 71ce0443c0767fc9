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

	"drystone/aggregate"
	"drystone/protocol"
)

// command is a line that a member obeys, as JSON. Fields that are not set change nothing.
type command struct {
	Peers []string       `json:",omitempty"` // where the members are now
	Die   *death         `json:",omitempty"` // kill yourself then
	Pass  *uint32        `json:",omitempty"` // time passes until who is late in this round is passed over
	Probe uint64         `json:",omitempty"` // log a Join of the last peer with this nonce
	Net   *network       `json:",omitempty"`
	Jump  *time.Duration `json:",omitempty"` // the time of day is off by so much
	Disk  string         `json:",omitempty"` // the disk under Raft's log fails in this way from now on
}

// death is when a member kills itself, as by kill -9.
type death struct {
	Phase string // as it enters this phase; "" for none
	Duty  string // as it has done one duty of this kind ("gather", "sums" or "shard") and is to do another; "" for none
	Leads bool   // only if it leads then
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
		if c.Pass != nil {
			go m.pass(ctx, *c.Pass)
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

// standing is for how many looks, 20 ms apart, a deadline has to stay the same before it passes: so that what is under way is
// done, since every step of a merge starts its timer anew.
const standing = 20

// pass lets time pass at once, for whoever leads, until the owners of shards that are late in a round are passed over: once
// while it reveals, since all of that deadline would leave contributions out, and in its merge whenever that stands still.
func (m *member) pass(ctx context.Context, round uint32) {
	r := m.replica.Load()
	if r == nil {
		return
	}
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	var first, last int64 // deadlines while it reveals, and of the last look
	for same := 0; ; {
		var now, due int64
		var phase aggregate.Phase
		var at uint32
		r.Read(func(x *aggregate.Machine) {
			phase, at, now = x.Phase(), x.View().Round, x.LoggedMilli()
			if t, ok := x.Deadline(); ok {
				due = t.UnixMilli()
			}
		})
		reveals := phase == aggregate.PhaseReveal
		if reveals && first == 0 && due > now {
			first = due
		}
		if same++; due != last {
			same, last = 0, due
		}
		running := due > now && due-now <= 1000*ownerHour // the timer runs, and it is not one of a check
		switch {
		case at > round:
			return
		case running && same >= standing && m.leads(r) && (reveals && due == first || phase == aggregate.PhaseMerge):
			same = 0
			m.clock.passed.Add(int64(time.Duration(due-now) * time.Millisecond))
		}
		select {
		case <-look.C:
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
