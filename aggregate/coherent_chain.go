package aggregate

import (
	"slices"

	"drystone/protocol"
)

// coherentHead checks that the head is where the phase begins, that the rounds lead to it, and that it has its signatures.
func (m *Machine) coherentHead() error {
	s := &m.s
	if s.Head == nil {
		return incoherent("no head")
	}
	h := &s.Head.Statement
	kinds := []protocol.Kind{protocol.KindCertificate, protocol.KindCouncil, protocol.KindGenesis} // between two rounds
	switch {
	case s.Phase == PhaseTrain || s.Phase == PhaseFreezing:
		kinds = []protocol.Kind{protocol.KindOpen}
	case s.Phase == PhaseReveal || s.Phase == PhaseRevealing:
		kinds = []protocol.Kind{protocol.KindFreeze}
	case s.Phase == PhaseMerge:
		kinds = []protocol.Kind{protocol.KindRevealSet}
	case s.Ended:
		kinds = []protocol.Kind{protocol.KindEnd}
	case s.Phase >= PhaseDraining:
		kinds = kinds[:1]
	}
	round := s.Round
	if h.Kind == protocol.KindCertificate {
		round--
	}
	if !slices.Contains(kinds, h.Kind) || h.Round != round || round > s.Round || h.Run != m.cfg.Run {
		return incoherent("head is the %s of round %d in phase %s of round %d", h.Kind, h.Round, s.Phase, s.Round)
	}
	var known *protocol.SignedStatement // where else the head stands
	switch h.Kind {
	case protocol.KindGenesis:
		known = s.Genesis
	case protocol.KindCouncil:
		known = s.Council
	case protocol.KindEnd:
		if _, err := protocol.DecodeBody[protocol.End](h); err != nil {
			return err
		}
		known = s.Head
	default:
		known = m.round(round).statement(h.Kind)
	}
	if known == nil || known.Statement.Digest() != h.Digest() {
		return incoherent("head %s of round %d is not the one of the round", h.Kind, h.Round)
	}
	if h.Kind != protocol.KindGenesis && h.Kind != protocol.KindCouncil { // those are verified by the sets before
		if err := m.council.Verify(s.Head); err != nil {
			return err
		}
	}
	return m.coherentModel()
}

// coherentModel checks that the present state of the model is that of the last Certificate, or of the Genesis.
func (m *Machine) coherentModel() error {
	model, outer := m.genesis.Model, m.genesis.Outer
	if m.s.Round > 0 {
		cert, err := protocol.DecodeBody[protocol.Certificate](&m.round(m.s.Round - 1).statement(protocol.KindCertificate).Statement)
		if err != nil {
			return err
		}
		model, outer = cert.Model, cert.Outer
	}
	if m.s.Model != model || m.s.Outer != outer {
		return incoherent("model %s before round %d, certified is %s", m.s.Model.Short(), m.s.Round, model.Short())
	}
	return nil
}

// signing says which statement is under signature in a phase.
var signing = map[Phase]protocol.Kind{PhaseChanging: protocol.KindCouncil, PhaseOpening: protocol.KindOpen, PhaseFreezing: protocol.KindFreeze,
	PhaseRevealing: protocol.KindRevealSet, PhaseMerge: protocol.KindCertificate, PhaseEnding: protocol.KindEnd}

// coherentBallots checks what is under signature: one statement that follows the head, or, where everyone merges for itself, one
// for each result.
func (m *Machine) coherentBallots() error {
	b := m.s.Ballots
	kind, signs := signing[m.s.Phase]
	least, most := 0, 0
	switch free := m.freeMerge(); {
	case free:
		most = len(m.council.Members)
	case signs && !(m.s.Phase == PhaseMerge && m.round(m.s.Round).Parts.undecided()):
		least, most = 1, 1
	}
	if len(b) < least || len(b) > most {
		return incoherent("%d statements under signature in phase %s", len(b), m.s.Phase)
	}
	var signers []protocol.PeerID
	for i := range b {
		st := &b[i].Statement
		if st.Kind != kind {
			return incoherent("%s under signature in phase %s", st.Kind, m.s.Phase)
		}
		if err := m.coherentStatement(st); err != nil {
			return err
		}
		if !ascending(b[i].Sigs, cosignKey) || m.freeMerge() && len(b[i].Sigs) == 0 {
			return incoherent("signatures under a %s not in ascending order", kind)
		}
		if err := byMembers(m.council, "signature", b[i].Sigs, cosignKey); err != nil {
			return err
		}
		for _, c := range b[i].Sigs {
			signers = append(signers, c.Signer)
		}
	}
	slices.SortFunc(signers, comparePeers)
	if !ascending(signers, idKey) {
		return incoherent("an aggregator with two votes")
	}
	return nil
}

// coherentStatement checks a statement under signature: that it follows the head, and that its body is one that this state, or
// one a little earlier, proposes.
func (m *Machine) coherentStatement(st *protocol.Statement) error {
	if err := st.Follows(&m.s.Head.Statement); err != nil {
		return err
	}
	r := m.round(m.s.Round)
	switch st.Kind {
	case protocol.KindOpen:
		body, err := protocol.DecodeBody[protocol.Open](st)
		if err != nil {
			return err
		}
		if body.Model != m.s.Model || body.Outer != m.s.Outer {
			return incoherent("Open of round %d with another model", st.Round)
		}
		return m.coherentRoster(body)
	case protocol.KindFreeze:
		return m.coherentFreeze(r, st)
	case protocol.KindRevealSet:
		return coherentSet(r, st)
	case protocol.KindCertificate:
		if r.Parts != nil || m.emptySet() {
			_, err := protocol.DecodeBody[protocol.Certificate](st)
			return err
		}
		return m.checkCertificate(st)
	case protocol.KindCouncil:
		_, err := m.council.After(m.cfg.Spec, st)
		return err
	}
	_, err := protocol.DecodeBody[protocol.End](st)
	return err
}

// coherentRoster checks that a roster is of known peers, each with a capacity that the run admits.
func (m *Machine) coherentRoster(o *protocol.Open) error {
	if len(o.Roster) > protocol.MaxRoster || !ascending(o.Roster, idKey) {
		return incoherent("roster of %d peers, or not in ascending order", len(o.Roster))
	}
	if n := len(o.Capacity); n > 0 && n != len(o.Roster) {
		return incoherent("%d capacities of %d peers", n, len(o.Roster))
	}
	for i, id := range o.Roster {
		if m.peer(id) == nil || len(o.Capacity) > 0 && !m.admits(o.Capacity[i]) {
			return incoherent("%s in the roster, of which nothing is known", id.Short())
		}
	}
	return nil
}

// coherentFreeze checks that a Freeze holds the commits of the round and that their root is F_r.
func (m *Machine) coherentFreeze(r *round, st *protocol.Statement) error {
	body, err := protocol.DecodeBody[protocol.Freeze](st)
	if err != nil {
		return err
	}
	want := []protocol.Frozen{}
	for i := range r.Entries {
		if e := &r.Entries[i]; e.Commit != nil {
			want = append(want, protocol.Frozen{Peer: e.Peer, Commit: e.Commit.Digest()})
		}
	}
	if body.Root != r.Frozen || !slices.Equal(body.Commits, want) {
		return incoherent("the Freeze of round %d lists other commits", r.Number)
	}
	return nil
}

// coherentSet checks that a RevealSet holds what t aggregators attest to.
func coherentSet(r *round, st *protocol.Statement) error {
	body, err := protocol.DecodeBody[protocol.RevealSet](st)
	if err != nil {
		return err
	}
	want := []protocol.Revealed{}
	for i := range r.Entries {
		if e := &r.Entries[i]; e.Reveal != nil {
			want = append(want, e.revealed())
		}
	}
	if !slices.Equal(body.Set, want) {
		return incoherent("the RevealSet of round %d lists other contributions", r.Number)
	}
	return nil
}
