package protocol

import "slices"

// BrokenReceipt reports whether a Freeze convicts the giver of a receipt: it signed both, and the Freeze of that round
// lacks the commit. A giver that did not sign the Freeze broke no promise. The two messages are the evidence, and nothing
// else is needed to believe it; whether the giver is an aggregator is for the caller.
func BrokenReceipt(r *Signed[Receipt], freeze *SignedStatement) bool {
	p, st := &r.Body, &freeze.Statement
	body, err := DecodeBody[Freeze](st)
	if err != nil || p.Run != st.Run || p.Round != st.Round || r.Verify() != nil {
		return false
	}
	if slices.ContainsFunc(body.Commits, func(f Frozen) bool { return f.Commit == p.Commit }) {
		return false
	}
	d := st.Digest()
	return slices.ContainsFunc(freeze.Sigs, func(c Cosignature) bool {
		return c.Signer == p.Aggregator && c.Signer.VerifyDigest(d, c.Sig) == nil
	})
}
