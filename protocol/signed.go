package protocol

import "fmt"

// body is a message that one peer signs. The domain keeps one kind from passing for another.
type body interface {
	domain() string
	signer() PeerID
}

// Signed is a message and its author's signature over Hash(domain, canonical body). It is not validated by decoding:
// call Verify before trusting a field.
type Signed[B body] struct {
	_    struct{} `cbor:",toarray"`
	Body B
	Sig  Signature
}

// Sign signs b, whose author must be k.
func Sign[B body](k Key, b B) Signed[B] {
	return Signed[B]{Body: b, Sig: k.SignDigest(bodyDigest(b))}
}

func bodyDigest[B body](b B) Digest { return Hash(b.domain(), mustEncode(b)) }

// Digest identifies the message: the digest of its body, without the signature.
func (s Signed[B]) Digest() Digest { return bodyDigest(s.Body) }

// Verify checks the signature of the author that the body names.
func (s Signed[B]) Verify() error {
	if err := s.Body.signer().VerifyDigest(s.Digest(), s.Sig); err != nil {
		return fmt.Errorf("%s message: %w", s.Body.domain(), err)
	}
	return nil
}

// Encode returns the canonical encoding.
func (s Signed[B]) Encode() []byte { return mustEncode(s) }

// DecodeSigned decodes a signed message of at most MaxMessage bytes. It does not verify the signature.
func DecodeSigned[B body](data []byte) (Signed[B], error) {
	var s Signed[B]
	err := Decode(data, MaxMessage, &s)
	return s, err
}
