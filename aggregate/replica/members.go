package replica

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"drystone/aggregate"
	"drystone/protocol"
)

// The Raft group follows the council: whoever the machine's state names gets a vote once it has caught up, and whoever it
// no longer names loses it. The leader makes one change at a time, each a step of Raft's own (Ongaro, "Consensus: Bridging
// Theory and Practice", 2014, section 4.1), so two quorums always overlap.

const (
	// caughtUp is how many records a new aggregator may lack when it gets its vote.
	caughtUp = 64
	// partingTime is how long the leader waits for who leaves to hear of it in the log.
	partingTime = 10 * time.Second
	// reviewEvery is how often the leader compares group and council at least.
	reviewEvery = time.Second
)

// council returns the aggregators as the statement chain or, if it says nothing, the machine's state names them; those of
// the Genesis before both.
func (r *Replica) council() []protocol.PeerID {
	if r.cfg.Council != nil {
		if ids := r.cfg.Council(); len(ids) > 0 {
			return ids
		}
	}
	if ids := r.logged(); len(ids) > 0 {
		return ids
	}
	return r.cfg.Members
}

// logged returns the aggregators by the machine's state, none before the Genesis.
func (r *Replica) logged() (ids []protocol.PeerID) {
	r.Read(func(m *aggregate.Machine) {
		if c := m.Council(); c != nil {
			for _, a := range c.Members {
				ids = append(ids, a.ID)
			}
		}
	})
	return ids
}

// aggregates reports whether id is an aggregator. Nobody else is heard here: Raft's handlers believe whoever speaks to them
// by term and name, and an observer needs to be called only.
func (r *Replica) aggregates(id protocol.PeerID) bool { return slices.Contains(r.council(), id) }

// suffrage returns what part id has in the group.
func suffrage(c raft.Configuration, id protocol.PeerID) part {
	for _, s := range c.Servers {
		switch {
		case s.ID != serverID(id):
		case s.Suffrage == raft.Voter:
			return votes
		default:
			return reads
		}
	}
	return none
}

// keepMembership follows the council until the replica ends.
func (r *Replica) keepMembership() {
	t := time.NewTicker(reviewEvery)
	defer t.Stop()
	k := keeper{r: r, leaving: map[protocol.PeerID]parting{}}
	aggregator := r.cfg.founding() || suffrage(r.raft.GetConfiguration().Configuration(), r.cfg.Self) == votes
	for {
		changed, elected := r.fsm.changed.wait(), r.leadership.wait()
		r.reigns.note(r.logged())
		if slices.Contains(r.council(), r.cfg.Self) {
			aggregator = true
		} else if aggregator {
			r.depart()
			return
		}
		if r.leads() {
			if err := k.review(); err != nil && r.ctx.Err() == nil {
				r.log.Debug("change of membership", "err", err)
			}
		}
		select {
		case <-changed:
		case <-elected:
		case <-t.C:
		case <-r.ctx.Done():
			return
		}
	}
}

// depart ends the part of who is no longer an aggregator.
func (r *Replica) depart() {
	if r.leads() && r.others() {
		if err := r.raft.LeadershipTransfer().Error(); err != nil {
			r.log.Debug("departing as the leader", "err", err)
		}
	}
	r.fail(fmt.Errorf("%w: a certified statement removed it", ErrRemoved))
}

// keeper is the leader's memory while it changes the membership.
type keeper struct {
	r       *Replica
	leaving map[protocol.PeerID]parting
}

// parting is what a removed member should still hear.
type parting struct {
	index uint64    // of the log when the leader saw that it has to go
	until time.Time // or so long
}

// review makes the changes that are due, until one has to wait.
func (k *keeper) review() error {
	for k.r.ctx.Err() == nil && k.r.leads() {
		conf := k.r.raft.GetConfiguration().Configuration()
		wanted := k.r.logged()
		if len(wanted) == 0 {
			return nil
		}
		var observers []protocol.PeerID
		if k.r.cfg.Observers != nil {
			observers = k.r.cfg.Observers()
		}
		c, ok := nextChange(conf, wanted, observers, k.ready)
		if !ok {
			return nil
		}
		if err := k.make(c); err != nil {
			return fmt.Errorf("%s %s: %w", c.op, c.id.Short(), err)
		}
		k.r.log.Info("membership changed", "change", c.op, "peer", c.id.Short())
	}
	return nil
}

// make has Raft make one change. It returns when the change is committed.
func (k *keeper) make(c change) error {
	id, address := serverID(c.id), raft.ServerAddress(c.id.String())
	switch c.op {
	case opAdd:
		return k.r.raft.AddNonvoter(id, address, 0, ioTimeout).Error()
	case opPromote:
		return k.r.raft.AddVoter(id, address, 0, ioTimeout).Error()
	}
	delete(k.leaving, c.id)
	return k.r.raft.RemoveServer(id, 0, ioTimeout).Error()
}

// ready reports whether a change need not wait: who gets a vote has the log, and who is removed has heard of it or cannot.
func (k *keeper) ready(c change) bool {
	switch c.op {
	case opPromote:
		want := k.r.raft.AppliedIndex()
		have, err := k.applied(c.id)
		return err == nil && have+caughtUp >= want
	case opRemove:
		p, ok := k.leaving[c.id]
		if !ok {
			p = parting{index: k.r.raft.AppliedIndex(), until: time.Now().Add(partingTime)}
			k.leaving[c.id] = p
		}
		have, err := k.applied(c.id)
		return err != nil || have >= p.index || time.Now().After(p.until)
	}
	return true
}

// applied asks a member how far it is.
func (k *keeper) applied(id protocol.PeerID) (uint64, error) {
	ctx, cancel := context.WithTimeout(k.r.ctx, 2*time.Second)
	defer cancel()
	p, err := k.r.progress(ctx, id)
	return p.applied, err
}
