package council

import (
	"time"

	"drystone/aggregate"
)

// Pace of the simulated Raft: how often a replica asks for what it lacks, and how long an election takes.
const (
	pollLog  = time.Second
	election = 2 * time.Second
)

// order is the log of one group of replicas. It survives crashes of a minority and believes its leader.
type order struct {
	sim     *Sim
	log     [][]byte
	members []*Aggregator
	size    int // of the group whose majority commits; replicas of a liar's other face count too
	leader  *Aggregator
	term    int
	voting  bool // an election is under way
	// Lies of the leader, nil for none.
	admit func(record []byte) bool // what it logs
	clock func() time.Time         // what it logs as time
}

// propose sends a record from a replica to the leader, which commits it unless it is overthrown meanwhile.
func (o *order) propose(from *Aggregator, record []byte) {
	leader := o.leader
	if leader == nil {
		return
	}
	arrive := func() {
		if leader.Down || o.leader != leader || o.admit != nil && !o.admit(record) {
			return
		}
		term := o.term
		o.sim.After(o.sim.delay(), func() {
			if o.term == term && !leader.Down && o.majority() {
				o.append(record)
			}
		})
	}
	if from == leader {
		arrive()
		return
	}
	o.sim.send(from.ID(), leader.ID(), arrive)
}

func (o *order) append(record []byte) {
	o.log = append(o.log, record)
	for _, a := range o.members {
		o.sim.After(o.sim.delay(), a.catchUp)
	}
}

// majority reports whether the leader reaches enough replicas to commit.
func (o *order) majority() bool {
	n := 0
	for _, a := range o.members {
		if o.reaches(a) {
			n++
		}
	}
	return n > o.size/2
}

func (o *order) reaches(a *Aggregator) bool {
	cut := o.sim.links.Cut
	return !a.Down && o.leader != nil && (a == o.leader || cut == nil || !cut(a.ID(), o.leader.ID()))
}

// watch replaces a leader that is down or cut off, and logs the time when the machine asks for it.
func (o *order) watch() {
	o.sim.After(pollLog, o.watch)
	if o.voting {
		return
	}
	if o.leader == nil || o.leader.Down || !o.majority() {
		o.elect()
		return
	}
	now := o.leader.clock()
	if o.clock != nil {
		now = o.clock()
	}
	m := o.leader.machine
	if deadline, ok := m.Deadline(); ok && now.UnixMilli() > m.LoggedMilli() && !now.Before(deadline) {
		o.propose(o.leader, aggregate.TickRecord(min(now.UnixMilli(), m.LastTick())))
	}
}

// elect chooses the first replica that has a majority, if any, and lets the election take its time.
func (o *order) elect() {
	o.term++
	o.leader, o.voting = nil, true
	o.sim.After(election, func() {
		o.voting = false
		for _, a := range o.members {
			if o.leader = a; !a.Down && o.majority() {
				return
			}
		}
		o.leader = nil
	})
}
