package replica

import (
	"github.com/hashicorp/raft"

	"drystone/protocol"
)

// Leader returns the current leader as far as this member knows.
func (r *Replica) Leader() (protocol.PeerID, bool) {
	_, id := r.raft.LeaderWithID()
	p, err := protocol.ParsePeerID(string(id))
	return p, err == nil
}

// leads reports whether this member believes to lead.
func (r *Replica) leads() bool { return r.raft.State() == raft.Leader }

// watchLeader fires leadership whenever Raft knows of another leader or of none, so that a proposal waits neither for a
// leader that is gone nor beside one that is there.
func (r *Replica) watchLeader() {
	seen := make(chan raft.Observation, 16)
	o := raft.NewObserver(seen, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	r.raft.RegisterObserver(o)
	defer r.raft.DeregisterObserver(o)
	for {
		select {
		case <-seen:
			r.leadership.fire()
		case <-r.ctx.Done():
			return
		}
	}
}

func serverID(id protocol.PeerID) raft.ServerID { return raft.ServerID(id.String()) }
