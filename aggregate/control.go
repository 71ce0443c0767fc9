package aggregate

import (
	"bytes"
	"slices"

	"drystone/protocol"
)

// maxChanges bounds how often the council of a run may change: every rotation stays in the state, so that a ledger host that
// was away can hand in those that it missed.
const maxChanges = 256

// control takes an order of the founder. It takes effect in between, once the round under way is over.
func (m *Machine) control(s *protocol.Signed[protocol.Control]) error {
	c, o := &s.Body, &m.s.Orders
	if err := m.ofRun(c.Run); err != nil {
		return err
	}
	switch {
	case o.Nonce > 0 && o.Last == s.Digest():
		return refuse(ErrDuplicate, "%s with nonce %d", c.Action, c.Nonce)
	case c.Nonce <= o.Nonce:
		return refuse(ErrLate, "%s with nonce %d, want more than %d", c.Action, c.Nonce, o.Nonce)
	}
	if err := protocol.CheckControl(m.cfg.Spec, m.cfg.Run, s); err != nil {
		return refuse(ErrInvalid, "%v", err)
	}
	if err := m.sensible(c); err != nil {
		return err
	}
	switch c.Action {
	case protocol.ActionPause:
		o.Pause = s
	case protocol.ActionResume:
		o.Pause = nil
	case protocol.ActionStop:
		o.Stop = s
	default:
		o.Change = s
	}
	o.Nonce, o.Last = c.Nonce, s.Digest()
	m.appendLeaf(RecordControl, s)
	return nil
}

// sensible refuses an order that could have no effect in the present phase.
func (m *Machine) sensible(c *protocol.Control) error {
	o := &m.s.Orders
	underWay := m.s.Phase >= PhaseOpening && m.s.Phase <= PhaseMerge
	switch {
	case m.s.Phase >= PhaseEnding || o.Stop != nil:
		return refuse(ErrLate, "%s: the run ends, its rounds are over or it was stopped", c.Action)
	case underWay && m.s.Round+1 >= m.rounds():
		return refuse(ErrLate, "%s: round %d, the last, is under way", c.Action, m.s.Round)
	case c.Action == protocol.ActionPause && o.Pause != nil:
		return refuse(ErrLate, "pause: the run is paused already, by control %d", o.Pause.Body.Nonce)
	case c.Action == protocol.ActionResume && o.Pause == nil:
		return refuse(ErrLate, "resume: the run is not paused")
	case !c.Action.Membership():
		return nil
	case o.Change != nil:
		return refuse(ErrEarly, "%s: the council changes already, by control %d; one change at a time", c.Action, o.Change.Body.Nonce)
	case len(m.s.Rotations) >= maxChanges:
		return refuse(ErrLate, "%s: the council changed %d times, the most that a run admits", c.Action, maxChanges)
	}
	return m.sensibleChange(c)
}

func (m *Machine) sensibleChange(c *protocol.Control) error {
	for _, id := range c.Remove {
		if _, ok := m.council.Member(id); !ok {
			return refuse(ErrLate, "%s: %s is no aggregator", c.Action, id.Short())
		}
		if id == m.genesis.Ledger.Host {
			return refuse(ErrInvalid, "%s: %s hosts the ledger, without it nobody is paid", c.Action, id.Short())
		}
	}
	for i := range c.Add {
		a := &c.Add[i].Body.Aggregator
		if _, ok := m.council.Member(a.ID); ok {
			return refuse(ErrLate, "%s: %s is an aggregator already", c.Action, a.ID.Short())
		}
		if m.cfg.VerifyPossession != nil {
			if err := m.cfg.VerifyPossession(a.BLS, a.Proof); err != nil {
				return refuse(ErrInvalid, "%s: aggregator %s: %v", c.Action, a.ID.Short(), err)
			}
		}
	}
	if n := len(m.council.Members) + len(c.Add) - len(c.Remove); n < 1 || n > protocol.MaxSigners {
		return refuse(ErrInvalid, "%s: leaves %d aggregators, want 1 to %d", c.Action, n, protocol.MaxSigners)
	}
	return nil
}

// between decides what comes next where no round is under way: the founder's orders first, then the next Open.
func (m *Machine) between() bool {
	o := &m.s.Orders
	switch {
	case o.Stop != nil:
		propose(m, protocol.End{Control: o.Stop.Digest()})
		m.enter(PhaseEnding)
		return true
	case o.Change != nil && m.quiet():
		return m.fixCouncil()
	case o.Pause != nil && m.s.Phase == PhaseWaiting:
		m.enter(PhasePaused)
		return true
	case o.Pause == nil && m.s.Phase == PhasePaused:
		m.enter(PhaseWaiting)
		return true
	case o.Pause != nil || o.Change != nil:
		return false
	}
	return m.fixOpen()
}

// rounds is how many rounds the run has, as far as is known now.
func (m *Machine) rounds() uint32 {
	if m.s.Ended {
		return m.s.Round
	}
	return m.cfg.Spec.Train.Rounds
}

// endRun takes the End: no round opens any more.
func (m *Machine) endRun(s *protocol.SignedStatement) {
	m.finalize(*s)
	m.s.Ended = true
	m.s.Orders.Pause, m.s.Orders.Change = nil, nil
	m.enter(PhaseDraining)
	m.targetCheckpoint()
}

// newSet is the council's members after a change, ascending.
func (m *Machine) newSet(c *protocol.Control) []protocol.Aggregator {
	set := slices.DeleteFunc(slices.Clone(m.council.Members), func(a protocol.Aggregator) bool { return slices.Contains(c.Remove, a.ID) })
	for i := range c.Add {
		set = append(set, c.Add[i].Body.Aggregator)
	}
	slices.SortFunc(set, func(a, b protocol.Aggregator) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return set
}
