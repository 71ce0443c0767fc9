package aggregate

import (
	"bytes"
	"slices"

	"drystone/protocol"
)

// DoubleSigners returns who signed both of two different statements for one place of a run's chain, ascending: the two are
// the evidence against them, and nothing else is needed to believe it. It returns nil if the statements are equal, or for
// different places. Signatures that do not verify are nobody's, and whether a signer is an aggregator is for the caller.
func DoubleSigners(a, b *protocol.SignedStatement) []protocol.PeerID {
	if !contradict(&a.Statement, &b.Statement) {
		return nil
	}
	first := signers(a)
	both := slices.DeleteFunc(signers(b), func(id protocol.PeerID) bool { return !slices.Contains(first, id) })
	slices.SortFunc(both, func(a, b protocol.PeerID) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(both)
}

// contradict reports whether nobody honest signs both: they follow the same statement, or are of one kind and round. Only of
// the statements between rounds a round may have several, one after another.
func contradict(a, b *protocol.Statement) bool {
	same := a.Kind == b.Kind && a.Round == b.Round && a.Kind <= protocol.KindCertificate
	return a.Run == b.Run && (same || a.Prev == b.Prev) && a.Digest() != b.Digest()
}

// signers returns whose signatures under a statement verify.
func signers(s *protocol.SignedStatement) (ids []protocol.PeerID) {
	d := s.Statement.Digest()
	for _, c := range s.Sigs {
		if c.Signer.VerifyDigest(d, c.Sig) == nil {
			ids = append(ids, c.Signer)
		}
	}
	return ids
}

// BrokenReceipt reports whether a Freeze convicts the giver of a receipt: it signed both, and the Freeze of that round
// lacks the commit. A giver that did not sign the Freeze broke no promise.
func BrokenReceipt(r *protocol.Signed[protocol.Receipt], freeze *protocol.SignedStatement) bool {
	p := &r.Body
	body, err := protocol.DecodeBody[protocol.Freeze](&freeze.Statement)
	if err != nil || p.Run != freeze.Statement.Run || p.Round != freeze.Statement.Round || r.Verify() != nil {
		return false
	}
	in := slices.ContainsFunc(body.Commits, func(f protocol.Frozen) bool { return f.Commit == p.Commit })
	return !in && slices.Contains(signers(freeze), p.Aggregator)
}

// secondStatement records, once a round and signer, that an aggregator signed another statement for a place of which it
// signed first, and returns nil then. The first counts.
func (m *Machine) secondStatement(c *Cosign, first, second protocol.Digest) error {
	st, signer, kind := &c.Statement, c.Cosignature.Signer, EvidenceDoubleStatement
	if st.Kind == protocol.KindCertificate {
		kind = EvidenceDoubleCertificate
	}
	for _, e := range m.s.Evidence {
		if e.Kind == kind && e.Round == st.Round && e.Who == signer {
			return refuse(ErrDiffers, "another %s of round %d by %s", st.Kind, st.Round, signer.Short())
		}
	}
	if err := signer.VerifyDigest(second, c.Cosignature.Sig); err != nil {
		return refuse(ErrInvalid, "cosign of the %s of round %d: %v", st.Kind, st.Round, err)
	}
	m.evidence(Evidence{Kind: kind, Round: st.Round, Who: signer, First: first, Second: second})
	return nil
}
