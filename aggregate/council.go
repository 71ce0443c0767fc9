package aggregate

import (
	"slices"

	"drystone/protocol"
)

// quiet reports whether the council owes nothing for earlier rounds: every check has ended, every epoch that is due is
// settled. A change of the council waits for it, so that one set answers for all of a round, from its Open to its last
// verdict, and a settlement is signed by one set.
func (m *Machine) quiet() bool {
	return m.due() == nil && !slices.ContainsFunc(m.s.Rounds, func(r round) bool { return !r.Settled })
}

// fixCouncil fixes the change that the founder asked for.
func (m *Machine) fixCouncil() bool {
	order := m.s.Orders.Change
	set := m.newSet(&order.Body)
	next := protocol.Council{Run: m.cfg.Run, Threshold: m.cfg.Spec.Quorum.Of(len(set)), Members: set}
	turn, err := next.Rotation(uint64(len(m.s.Rotations)) + 1)
	if err != nil {
		m.s.Orders.Change = nil // not reachable: the newcomer's signature was verified under its ID
		return true
	}
	propose(m, protocol.NewCouncil{Aggregators: set, Threshold: uint32(next.Threshold), Control: order.Digest()})
	m.s.Turn = &Rotated{Rotation: turn, Epoch: m.s.Pay.Settled}
	m.enter(PhaseChanging)
	return true
}

func (m *Machine) rotate(r *Rotate) error {
	if err := m.ofRun(r.Rotation.Run); err != nil {
		return err
	}
	if err := m.member(r.Signer); err != nil {
		return err
	}
	done, turn := uint64(len(m.s.Rotations)), m.s.Turn
	switch {
	case r.Rotation.Sequence <= done:
		return refuse(ErrLate, "rotation %d by %s, which is final", r.Rotation.Sequence, r.Signer.Short())
	case turn == nil || r.Rotation.Sequence != turn.Rotation.Sequence:
		return refuse(ErrEarly, "rotation %d by %s, which is not due", r.Rotation.Sequence, r.Signer.Short())
	case r.Rotation.Threshold != turn.Rotation.Threshold || !slices.Equal(r.Rotation.Signers, turn.Rotation.Signers):
		return refuse(ErrDiffers, "rotation %d by %s to another set", r.Rotation.Sequence, r.Signer.Short())
	}
	i, ok := search(turn.Sigs, r.Signer, paidKey)
	if ok {
		return refuse(ErrDuplicate, "rotation %d by %s", r.Rotation.Sequence, r.Signer.Short())
	}
	if m.cfg.VerifyRotation != nil {
		if err := m.cfg.VerifyRotation(r.Rotation, r.Signer, r.Sig); err != nil {
			return refuse(ErrInvalid, "rotation %d by %s: %v", r.Rotation.Sequence, r.Signer.Short(), err)
		}
	}
	turn.Sigs = slices.Insert(turn.Sigs, i, SettlementSignature{Signer: r.Signer, Sig: r.Sig})
	m.setAway(r.Signer, false)
	return nil
}

// turned reports whether the contract would take the rotation to the new set.
func (m *Machine) turned() bool { return len(m.s.Turn.Sigs) >= m.threshold() }

// changeCouncil takes the Council statement: from here on the new set signs.
func (m *Machine) changeCouncil(s *protocol.SignedStatement) {
	next, err := councilOf(m.cfg.Run, s)
	if err != nil {
		return // the machine made the body itself
	}
	m.finalize(*s)
	turn := *m.s.Turn
	m.s.Council, m.council = s, next
	m.rank()
	m.s.Rotations, m.s.Turn, m.s.Orders.Change = append(m.s.Rotations, turn), nil, nil
	m.fx.Rotated = append(m.fx.Rotated, turn.clone())
	m.appendLeaf(LeafRotation, &turn)
	var members []aggregatorState
	for _, a := range next.Members {
		if i, ok := search(m.s.Aggregators, a.ID, aggregatorKey); ok {
			members = append(members, m.s.Aggregators[i])
		} else {
			members = append(members, aggregatorState{ID: a.ID})
		}
	}
	m.s.Aggregators = members
	m.enter(PhaseWaiting)
	m.targetCheckpoint()
}

// councilOf is the set that a Council statement installs, which this machine derived and t aggregators signed.
func councilOf(run protocol.Digest, s *protocol.SignedStatement) (*protocol.Council, error) {
	b, err := protocol.DecodeBody[protocol.NewCouncil](&s.Statement)
	if err != nil {
		return nil, err
	}
	return &protocol.Council{Run: run, Threshold: int(b.Threshold), Members: b.Aggregators}, nil
}

func (r *Rotated) clone() Rotated {
	c := *r
	c.Rotation.Signers, c.Sigs = slices.Clone(r.Rotation.Signers), slices.Clone(r.Sigs)
	return c
}

// Rotations returns the rotations of the contract's signers so far, in order. They must not be changed.
func (m *Machine) Rotations() []Rotated { return m.s.Rotations }

func (m *Machine) rotateDuties(self protocol.PeerID) []Duty {
	if m.s.Turn == nil {
		return nil
	}
	if _, ok := search(m.s.Turn.Sigs, self, paidKey); ok {
		return nil
	}
	r := m.s.Turn.clone()
	return []Duty{DutyRotate{Rotation: r.Rotation}}
}
