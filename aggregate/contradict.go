package aggregate

import "drystone/protocol"

// maxContradiction bounds the bodies of two statements that become one leaf, in bytes; no honest statement is half as large.
const maxContradiction = protocol.MaxMessage - 4<<10

// contradicts takes a signature under another statement than the one of this step. If its signer signed that one too, both are
// recorded as evidence, once for each aggregator and step; the first signature counts. Otherwise it is refused: what a lone
// signature under a false statement proves, the log shows already.
func (m *Machine) contradicts(kind EvidenceKind, b *ballot, c *Cosign, d protocol.Digest) error {
	st, signer := &c.Statement, c.Cosignature.Signer
	first := b.Statement.Digest()
	i, signed := search(b.Sigs, signer, cosignKey)
	if !signed || !b.Statement.Rivals(st) || m.contradicted(signer, first) {
		return refuse(ErrDiffers, "cosign by %s of %s %s of round %d, the log gives another", signer.Short(), st.Kind, d.Short(), st.Round)
	}
	if len(b.Statement.Body)+len(st.Body) > maxContradiction {
		return refuse(ErrInvalid, "cosign of a %s of round %d of %d bytes", st.Kind, st.Round, len(st.Body))
	}
	if err := signer.VerifyDigest(d, c.Cosignature.Sig); err != nil {
		return refuse(ErrInvalid, "cosign of the %s of round %d: %v", st.Kind, st.Round, err)
	}
	m.evidence(Evidence{Kind: kind, Round: st.Round, Who: signer, First: first, Second: d})
	m.appendLeaf(LeafEvidence, &protocol.Contradiction{Signer: signer, First: b.Statement, FirstSig: b.Sigs[i].Sig, Second: *st, SecondSig: c.Cosignature.Sig})
	return nil
}

// contradicted reports whether an aggregator's second statement for the step of this one is on record.
func (m *Machine) contradicted(signer protocol.PeerID, first protocol.Digest) bool {
	for _, e := range m.s.Evidence {
		if e.Who == signer && e.First == first && (e.Kind == EvidenceDoubleStatement || e.Kind == EvidenceDoubleCertificate) {
			return true
		}
	}
	return false
}
