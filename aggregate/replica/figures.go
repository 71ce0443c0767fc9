package replica

// Figures are a member's own counts, for operators.
type Figures struct {
	State     string // Follower, Candidate, Leader or Shutdown
	Leads     bool
	Last      uint64 // index of the last record in the own log
	Term      uint64
	Applied   uint64 // index of the last record applied here
	Committed uint64 // index of the last record that a majority has, as far as this member knows
}

// Figures returns the member's counts now.
func (r *Replica) Figures() Figures {
	return Figures{State: r.raft.State().String(), Leads: r.leads(), Last: r.raft.LastIndex(), Term: r.raft.CurrentTerm(), Applied: r.raft.AppliedIndex(), Committed: r.raft.CommitIndex()}
}
