package council

import (
	"slices"

	"drystone/aggregate"
	"drystone/protocol"
)

// Order lets the founder give an order, again and again until each log has it. out is who goes out of the council, if
// anybody. The round under way is finished first; a change of the council and the end of the run are statements that t of
// the set before sign.
func (s *Sim) Order(action protocol.Action, nonce uint64, out ...protocol.PeerID) {
	founder := protocol.DeriveKey(1, "founder")
	record := aggregate.ControlRecord(protocol.Sign(founder, protocol.Control{Run: s.Run0, Founder: founder.ID(), Action: action, Nonce: nonce, Remove: out}))
	for _, o := range s.orders {
		if !slices.ContainsFunc(o.log, func(r []byte) bool { return slices.Equal(r, record) }) && o.leader != nil {
			o.propose(o.leader, record)
		}
	}
	s.After(retry, func() { s.Order(action, nonce, out...) })
}

// rotate signs the change of the contract's signers.
func (a *Aggregator) rotate(r protocol.Rotation) []byte {
	sig := a.SignDigest(rotationDigest(r))
	rec := aggregate.Rotate{Rotation: r, Signer: a.ID()}
	copy(rec.Sig[:], sig[:])
	rec.Sig[64] = 27
	return aggregate.RotateRecord(rec)
}

func rotationDigest(r protocol.Rotation) protocol.Digest {
	return protocol.Hash("council-rotation", must(protocol.Encode(r)))
}

func verifyRotation(r protocol.Rotation, signer protocol.PeerID, sig protocol.EVMSignature) error {
	return signer.VerifyDigest(rotationDigest(r), protocol.Signature(sig[:64]))
}

// find returns the statement of a kind and round in a chain, or nil.
func find(chain []protocol.SignedStatement, kind protocol.Kind, round uint32) *protocol.SignedStatement {
	i := slices.IndexFunc(chain, func(s protocol.SignedStatement) bool { return s.Statement.Kind == kind && s.Statement.Round == round })
	if i < 0 {
		return nil
	}
	return &chain[i]
}
