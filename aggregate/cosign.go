package aggregate

import (
	"math"
	"slices"

	"drystone/protocol"
)

// propose makes a derived statement the one to sign.
func propose[T protocol.StatementBody](m *Machine, body T) {
	s := protocol.NewStatement(m.cfg.Run, m.s.Round, m.s.Head.Statement.Digest(), body)
	m.s.Ballots = []ballot{{Statement: s}}
}

// place orders the statements of a run. Those between two rounds come before the Open of the round that they number.
func place(s *protocol.Statement) uint64 {
	slot := uint64(s.Kind)
	switch s.Kind {
	case protocol.KindGenesis, protocol.KindCouncil:
		slot = 0
	case protocol.KindEnd:
		slot = 1
	}
	return uint64(s.Round)*placesOfRound + slot
}

// behind reports whether a statement's place in the chain is taken. Several Councils may follow each other.
func (m *Machine) behind(st *protocol.Statement, d protocol.Digest) bool {
	head := &m.s.Head.Statement
	if at := place(head); place(st) != at {
		return place(st) < at
	}
	return st.Kind != protocol.KindCouncil || d == head.Digest()
}

func (m *Machine) cosign(c *Cosign) error {
	st, signer := &c.Statement, c.Cosignature.Signer
	if err := m.ofRun(st.Run); err != nil {
		return err
	}
	if err := m.member(signer); err != nil {
		return err
	}
	if st.Kind < protocol.KindOpen || st.Kind > protocol.KindEnd {
		return refuse(ErrInvalid, "cosign of a %s", st.Kind)
	}
	d := st.Digest()
	if m.behind(st, d) {
		return m.lateCosign(c, d)
	}
	if m.freeMerge() && st.Kind == protocol.KindCertificate && st.Round == m.s.Round {
		return m.cosignCertificate(c)
	}
	if len(m.s.Ballots) == 0 || m.freeMerge() || place(st) > place(&m.s.Ballots[0].Statement) {
		return refuse(ErrEarly, "cosign of the %s of round %d in phase %s of round %d", st.Kind, st.Round, m.s.Phase, m.s.Round)
	}
	b := &m.s.Ballots[0]
	if d != b.Statement.Digest() {
		return m.contradicts(EvidenceDoubleStatement, b, c, d)
	}
	return m.sign(b, c, d)
}

// sign adds a signature to a ballot.
func (m *Machine) sign(b *ballot, c *Cosign, d protocol.Digest) error {
	i, ok := search(b.Sigs, c.Cosignature.Signer, cosignKey)
	if ok {
		return refuse(ErrDuplicate, "cosign by %s of the %s of round %d", c.Cosignature.Signer.Short(), c.Statement.Kind, c.Statement.Round)
	}
	if err := c.Cosignature.Signer.VerifyDigest(d, c.Cosignature.Sig); err != nil {
		return refuse(ErrInvalid, "cosign of the %s of round %d: %v", c.Statement.Kind, c.Statement.Round, err)
	}
	b.Sigs = slices.Insert(b.Sigs, i, c.Cosignature)
	m.setAway(c.Cosignature.Signer, false)
	return nil
}

// lateCosign judges a signature under a statement whose place in the chain is taken.
func (m *Machine) lateCosign(c *Cosign, d protocol.Digest) error {
	st, signer := &c.Statement, c.Cosignature.Signer
	final := m.s.Head
	if r := m.round(st.Round); r != nil && st.Kind <= protocol.KindCertificate {
		final = r.statement(st.Kind)
	}
	if final != nil {
		_, signed := search(final.Sigs, signer, cosignKey)
		switch {
		case signed && final.Statement.Digest() == d:
			return refuse(ErrDuplicate, "cosign by %s of the %s of round %d", signer.Short(), st.Kind, st.Round)
		case signed && final.Statement.Rivals(st):
			return m.contradicts(EvidenceDoubleStatement, &ballot{Statement: final.Statement, Sigs: final.Sigs}, c, d)
		}
	}
	return refuse(ErrLate, "cosign by %s of the %s of round %d, which is final", signer.Short(), st.Kind, st.Round)
}

// cosignCertificate takes an aggregator's own result of the merge. Each distinct one is a ballot; every aggregator has
// one vote.
func (m *Machine) cosignCertificate(c *Cosign) error {
	st, signer := &c.Statement, c.Cosignature.Signer
	if err := m.checkCertificate(st); err != nil {
		return err
	}
	d := st.Digest()
	var own *ballot
	for i := range m.s.Ballots {
		b := &m.s.Ballots[i]
		if b.Statement.Digest() == d {
			own = b
		} else if _, voted := search(b.Sigs, signer, cosignKey); voted {
			return m.contradicts(EvidenceDoubleCertificate, b, c, d)
		}
	}
	if own != nil {
		return m.sign(own, c, d)
	}
	b := ballot{Statement: *st}
	if err := m.sign(&b, c, d); err != nil {
		return err
	}
	m.s.Ballots = append(m.s.Ballots, b)
	return nil
}

// checkCertificate checks what can be seen of a Certificate without the tensors: that it follows the RevealSet and has
// one finite weight for each contribution, and an update for each shard where there is a way down.
func (m *Machine) checkCertificate(st *protocol.Statement) error {
	if err := st.Follows(&m.s.Head.Statement); err != nil {
		return refuse(ErrDiffers, "%v", err)
	}
	cert, err := protocol.DecodeBody[protocol.Certificate](st)
	if err != nil {
		return refuse(ErrInvalid, "%v", err)
	}
	if err := cert.CheckUpdates(&m.cfg.Spec.Codec, m.cfg.Params); err != nil {
		return refuse(ErrInvalid, "Certificate of round %d: %v", m.s.Round, err)
	}
	i := 0
	for _, e := range m.round(m.s.Round).Entries {
		if e.Reveal == nil {
			continue
		}
		if i >= len(cert.Merge) || cert.Merge[i].Peer != e.Peer {
			return refuse(ErrDiffers, "Certificate of round %d: the merge record does not list the RevealSet", m.s.Round)
		}
		if w := math.Float32frombits(cert.Merge[i].Weight); !(w >= 0 && w <= 1) {
			return refuse(ErrInvalid, "Certificate of round %d: weight %v of %s", m.s.Round, w, e.Peer.Short())
		}
		i++
	}
	if i != len(cert.Merge) {
		return refuse(ErrDiffers, "Certificate of round %d: the merge record does not list the RevealSet", m.s.Round)
	}
	return nil
}

// emptySet reports whether the current round merges nothing, so that its Certificate follows by rule.
func (m *Machine) emptySet() bool {
	r := m.round(m.s.Round)
	return r != nil && !slices.ContainsFunc(r.Entries, func(e entry) bool { return e.Reveal != nil })
}

// freeMerge reports whether each aggregator computes the Certificate for itself: it is not derived.
func (m *Machine) freeMerge() bool {
	return m.s.Phase == PhaseMerge && !m.emptySet() && m.round(m.s.Round).Parts == nil
}

// quorum returns the ballot that has t signatures, or nil.
func (m *Machine) quorum() *ballot {
	for i := range m.s.Ballots {
		if len(m.s.Ballots[i].Sigs) >= m.threshold() {
			return &m.s.Ballots[i]
		}
	}
	return nil
}
