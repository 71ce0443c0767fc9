package aggtest

import (
	"errors"

	"drystone/aggregate"
	"drystone/protocol"
)

// Control is an order of the founder; in and out are nil for nobody.
func (w *World) Control(a protocol.Action, nonce uint64, in, out *protocol.Key) protocol.Signed[protocol.Control] {
	c := protocol.Control{Run: w.Run, Founder: w.Founder.ID(), Action: a, Nonce: nonce}
	if in != nil {
		c.Add = []protocol.Signed[protocol.Accept]{w.Accept(*in)}
	}
	if out != nil {
		c.Remove = []protocol.PeerID{out.ID()}
	}
	return protocol.Sign(w.Founder, c)
}

// Accept is a newcomer's consent.
func (w *World) Accept(k protocol.Key) protocol.Signed[protocol.Accept] {
	a := protocol.Aggregator{ID: k.ID(), BLS: pub(k.ID()), Proof: possession(pub(k.ID())), Addrs: []string{}}
	return protocol.Sign(k, protocol.Accept{Run: w.Run, Aggregator: a})
}

// Rotate signs a rotation of the contract's signers.
func (w *World) Rotate(k protocol.Key, r protocol.Rotation) []byte {
	sig := k.SignDigest(rotationDigest(r))
	rec := aggregate.Rotate{Rotation: r, Signer: k.ID()}
	copy(rec.Sig[:], sig[:])
	rec.Sig[64] = 27
	return aggregate.RotateRecord(rec)
}

func rotationDigest(r protocol.Rotation) protocol.Digest {
	b, err := protocol.Encode(r)
	if err != nil {
		panic(err)
	}
	return protocol.Hash("test-eip712-rotation", b)
}

func verifyRotation(r protocol.Rotation, signer protocol.PeerID, sig protocol.EVMSignature) error {
	return signer.VerifyDigest(rotationDigest(r), protocol.Signature(sig[:64]))
}

func possession(pub [96]byte) (proof [48]byte) {
	d := protocol.Hash("test-possession", pub[:])
	copy(proof[:], d[:])
	return proof
}

func verifyPossession(pub [96]byte, proof [48]byte) error {
	if possession(pub) != proof {
		return errors.New("the BLS key is not its owner's")
	}
	return nil
}
