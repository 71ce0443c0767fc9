package replica

import (
	"slices"

	"github.com/hashicorp/raft"

	"drystone/protocol"
)

// part is what somebody is to the Raft group.
type part int

const (
	none  part = iota
	reads      // has the log and no vote
	votes
)

// A change is one step of the Raft group towards the council.
type change struct {
	op operation
	id protocol.PeerID
}

type operation string

const (
	opAdd     operation = "add"     // as a member without a vote, which gets the log
	opPromote operation = "promote" // gives it a vote
	opRemove  operation = "remove"
)

// nextChange returns the next step from the group c to one in which exactly the wanted vote and exactly the observers,
// at most MaxObservers, read along. ready says which steps may be made already; one that may not does not hold up those
// after it. Additions come first, so that a replacement loses no redundancy, and the last voter is never taken.
func nextChange(c raft.Configuration, wanted, observers []protocol.PeerID, ready func(change) bool) (change, bool) {
	observers = slices.DeleteFunc(slices.Clone(observers), func(id protocol.PeerID) bool { return slices.Contains(wanted, id) })
	observers = observers[:min(len(observers), MaxObservers)]
	var steps []change
	for _, id := range wanted {
		switch suffrage(c, id) {
		case none:
			steps = append(steps, change{opAdd, id})
		case reads:
			steps = append(steps, change{opPromote, id})
		}
	}
	voters := 0
	for _, s := range c.Servers {
		if s.Suffrage == raft.Voter {
			voters++
		}
	}
	for _, s := range c.Servers {
		id, err := protocol.ParsePeerID(string(s.ID))
		if err != nil || slices.Contains(wanted, id) {
			continue
		}
		if voter := s.Suffrage == raft.Voter; voter && voters > 1 || !voter && !slices.Contains(observers, id) {
			steps = append(steps, change{opRemove, id})
		}
	}
	for _, id := range observers {
		if suffrage(c, id) == none {
			steps = append(steps, change{opAdd, id})
		}
	}
	for _, s := range steps {
		if ready(s) {
			return s, true
		}
	}
	return change{}, false
}
