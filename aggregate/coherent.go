package aggregate

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"drystone/protocol"
)

// errIncoherent means that no run leads to a state.
var errIncoherent = errors.New("incoherent state")

func incoherent(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, errIncoherent)...)
}

// coherent checks that the state has what transitions, duties and views take for granted, so that none of them panics on
// one that was made up. It does not say that the state is true. m.council and m.genesis are set.
func (m *Machine) coherent() error {
	if m.s.Genesis == nil {
		return m.coherentNew()
	}
	for _, check := range []func() error{m.coherentPhase, m.coherentPeers, m.coherentOrders, m.coherentRounds, m.coherentHead,
		m.coherentBallots, m.coherentPay, m.coherentLog} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// coherentNew wants the state before the Genesis, of which there is one.
func (m *Machine) coherentNew() error {
	got, err := protocol.Encode(&m.s)
	if err != nil {
		return err
	}
	fresh, err := protocol.Encode(&state{Version: stateVersion})
	if err == nil && !bytes.Equal(got, fresh) {
		err = incoherent("a state without Genesis that is not empty")
	}
	return err
}

func (m *Machine) coherentPhase() error {
	s := &m.s
	ends := s.Phase >= PhaseDraining
	switch {
	case s.Phase == PhaseNew || s.Phase > PhaseFinished:
		return incoherent("phase %d after the Genesis", s.Phase)
	case s.Now < 0 || s.Now > maxMilli || s.Since < 0 || s.Since > s.Now:
		return incoherent("phase since %d ms, logged time %d ms", s.Since, s.Now)
	case s.Extended && s.Phase != PhaseTrain && s.Phase != PhaseReveal:
		return incoherent("phase %s is extended", s.Phase)
	case (s.Phase == PhaseChanging) != (s.Turn != nil) || s.Turn != nil && s.Orders.Change == nil:
		return incoherent("phase %s without what it changes", s.Phase)
	case s.Phase == PhasePaused && s.Orders.Pause == nil, s.Phase == PhaseEnding && s.Orders.Stop == nil:
		return incoherent("phase %s without an order", s.Phase)
	case s.Ended && (!ends || s.Orders.Stop == nil):
		return incoherent("ended in phase %s", s.Phase)
	case s.Ended || !ends:
		if s.Round >= m.cfg.Spec.Train.Rounds {
			return incoherent("round %d of %d in phase %s", s.Round, m.cfg.Spec.Train.Rounds, s.Phase)
		}
	case s.Round != m.cfg.Spec.Train.Rounds:
		return incoherent("round %d of %d in phase %s", s.Round, m.cfg.Spec.Train.Rounds, s.Phase)
	}
	return nil
}

// underWay reports whether a round is: its Open is final and its Certificate is not.
func (s *state) underWay() bool { return s.Phase >= PhaseTrain && s.Phase <= PhaseMerge }

func (m *Machine) coherentPeers() error {
	s := &m.s
	if len(s.Peers) > maxPeers || m.active() > protocol.MaxRoster {
		return incoherent("%d peers, %d of them active", len(s.Peers), m.active())
	}
	if !ascending(s.Peers, peerKey) {
		return incoherent("peers not in ascending order")
	}
	for i := range s.Peers {
		if p := &s.Peers[i]; !m.admits(p.Shards) || p.Nonce == 0 {
			return incoherent("peer %s with nonce %d and %d shards", p.ID.Short(), p.Nonce, p.Shards)
		}
	}
	same := func(a aggregatorState, b protocol.Aggregator) bool { return a.ID == b.ID }
	if !slices.EqualFunc(s.Aggregators, m.council.Members, same) {
		return incoherent("other aggregators than the council's")
	}
	// Everyone has at most one for each place of the live rounds, and of two epochs.
	told := protocol.MaxSigners * (placesOfRound*(len(s.Rounds)+1) + 2)
	if len(s.Evidence) > maxEvidence || len(s.Told) > told {
		return incoherent("%d pieces of evidence, limit %d; %d of them told, limit %d", len(s.Evidence), maxEvidence, len(s.Told), told)
	}
	return nil
}

func (m *Machine) coherentOrders() error {
	s := &m.s
	for _, o := range []struct {
		order *protocol.Signed[protocol.Control]
		fits  func(protocol.Action) bool
	}{
		{s.Orders.Pause, func(a protocol.Action) bool { return a == protocol.ActionPause }},
		{s.Orders.Stop, func(a protocol.Action) bool { return a == protocol.ActionStop }},
		{s.Orders.Change, protocol.Action.Membership},
	} {
		switch {
		case o.order == nil:
		case !o.fits(o.order.Body.Action) || o.order.Body.Nonce > s.Orders.Nonce:
			return incoherent("%s with nonce %d where another order belongs", o.order.Body.Action, o.order.Body.Nonce)
		default:
			if err := protocol.CheckControl(m.cfg.Spec, m.cfg.Run, o.order); err != nil {
				return err
			}
		}
	}
	if len(s.Rotations) > maxChanges || (len(s.Rotations) > 0) != (s.Council != nil) {
		return incoherent("%d rotations", len(s.Rotations))
	}
	for i := range s.Rotations {
		if s.Rotations[i].Rotation.Sequence != uint64(i)+1 || !ascending(s.Rotations[i].Sigs, paidKey) {
			return incoherent("rotation %d in place of %d", s.Rotations[i].Rotation.Sequence, i+1)
		}
	}
	if s.Turn == nil {
		return nil
	}
	if s.Turn.Rotation.Sequence != uint64(len(s.Rotations))+1 || !ascending(s.Turn.Sigs, paidKey) {
		return incoherent("rotation %d under signature after %d", s.Turn.Rotation.Sequence, len(s.Rotations))
	}
	return byMembers(m.council, "rotation", s.Turn.Sigs, paidKey)
}

func (s *SettledEpoch) coherent() bool {
	accounts := func(a, b protocol.Payout) int { return bytes.Compare(a.Account[:], b.Account[:]) }
	return ascending(s.Sigs, paidKey) && len(s.Sigs) <= protocol.MaxSigners && slices.IsSortedFunc(s.Payouts, accounts)
}

func (m *Machine) coherentPay() error {
	p := &m.s.Pay
	last := uint64(0)
	if p.Last != nil {
		last = p.Last.Settlement.Epoch
	}
	if last != p.Settled || p.Last != nil && (last == 0 || !p.Last.coherent()) {
		return incoherent("epoch %d settled, the last settlement is of %d", p.Settled, last)
	}
	most := m.epochOf(m.cfg.Spec.Train.Rounds - 1)
	for i := range p.Epochs {
		e := &p.Epochs[i]
		switch {
		case e.Number <= last || e.Number > most || !ascending(e.Void, idKey):
			return incoherent("epoch %d after %d of %d", e.Number, last, most)
		case uint64(e.Rounds) > uint64(m.cfg.Spec.Payout.EpochRounds):
			return incoherent("epoch %d of %d rounds", e.Number, e.Rounds)
		}
		last = e.Number
	}
	if len(p.Bids) > 0 && m.due() == nil || !ascending(p.Bids, bidKey) {
		return incoherent("%d settlements proposed out of turn", len(p.Bids))
	}
	return byMembers(m.council, "settlement", p.Bids, bidKey)
}

func (m *Machine) coherentLog() error {
	l := &m.s.Log
	if l.Size < 1 || l.Size > maxLeaves {
		return incoherent("log of %d leaves", l.Size)
	}
	if slices.ContainsFunc(l.Hashes, func(h []byte) bool { return len(h) != len(protocol.Digest{}) }) {
		return incoherent("log with a hash that is none")
	}
	if _, err := rangeFactory.NewRange(0, l.Size, l.Hashes); err != nil {
		return incoherent("log: %v", err)
	}
	for _, c := range []*CosignedCheckpoint{l.Target, l.Last} {
		switch {
		case c == nil:
		case c.Size > l.Size || len(c.Notes) > protocol.MaxSigners || !ascending(c.Notes, noteKey):
			return incoherent("checkpoint of size %d with %d notes, the log has %d leaves", c.Size, len(c.Notes), l.Size)
		case slices.ContainsFunc(c.Notes, func(n SignedNote) bool { return len(n.Note) > MaxNote }):
			return incoherent("checkpoint of size %d with a note that is too long", c.Size)
		}
	}
	return nil
}

// maxLeaves is far beyond any log, and far from overflow.
const maxLeaves = 1 << 48

// ascending reports whether a slice is strictly ascending by the ID that key returns, as search wants it.
func ascending[E any](s []E, key func(*E) protocol.PeerID) bool {
	for i := 1; i < len(s); i++ {
		a, b := key(&s[i-1]), key(&s[i])
		if bytes.Compare(a[:], b[:]) >= 0 {
			return false
		}
	}
	return true
}

// byMembers wants everything to be by members of the council.
func byMembers[E any](c *protocol.Council, what string, s []E, key func(*E) protocol.PeerID) error {
	for i := range s {
		id := key(&s[i])
		if _, ok := c.Member(id); !ok {
			return incoherent("%s by %s, which is no aggregator", what, id.Short())
		}
	}
	return nil
}
