package protocol

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// Size limits of decoding, in bytes unless stated. A message over its limit is refused before it is parsed.
const (
	MaxMessage = 1 << 20  // any gossiped message; gossipsub's own limit
	MaxSpec    = 64 << 10 // a RunSpec
	MaxRoster  = 1024     // peers in one round
	MaxSigners = 64       // aggregators of one run
	maxArray   = 1 << 14  // elements of any CBOR array
	maxProof   = 64       // elements of any CBOR array of a Reveal or Opening: nodes of a path, chunks of a check
	maxNesting = 16       // levels of CBOR nesting
)

// Errors of Decode. Both mean that the bytes are not a message of this protocol: a validator may reject the sender.
var (
	ErrTooLarge     = errors.New("message exceeds its size limit")
	ErrNotCanonical = errors.New("not the canonical encoding")
)

var encMode = must(cbor.EncOptions{
	Sort:          cbor.SortCoreDeterministic,
	ShortestFloat: cbor.ShortestFloat16,
	NaNConvert:    cbor.NaNConvertReject,
	InfConvert:    cbor.InfConvertReject,
	IndefLength:   cbor.IndefLengthForbidden,
	TagsMd:        cbor.TagsForbidden,
	NilContainers: cbor.NilContainerAsEmpty,
}.EncMode())

// proofMode keeps a message of many paths from costing 32 bytes of digest for each byte of input.
var (
	decMode   = newDecMode(maxArray)
	proofMode = newDecMode(maxProof)
)

func newDecMode(elements int) cbor.DecMode {
	return must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxArrayElements:  elements,
		MaxMapPairs:       256,
		MaxNestedLevels:   maxNesting,
		UTF8:              cbor.UTF8RejectInvalid,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		NaN:               cbor.NaNDecodeForbidden,
		Inf:               cbor.InfDecodeForbidden,
	}.DecMode())
}

// must is for the modes above only: their options are constants, so it can fail at no other time than in a test.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Encode returns v's canonical encoding. It fails only for values that have none: NaN, infinities, types outside the
// protocol.
func Encode(v any) ([]byte, error) {
	b, err := encMode.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return b, nil
}

// Decode parses data, at most limit bytes, into v (a pointer). It returns ErrTooLarge or ErrNotCanonical, wrapped with
// the type, for input that no honest peer sends. Memory stays within a small multiple of limit.
func Decode(data []byte, limit int, v any) error { return decodeWith(decMode, data, limit, v) }

func decodeWith(mode cbor.DecMode, data []byte, limit int, v any) error {
	if len(data) > limit {
		return fmt.Errorf("decode %T: %d bytes, limit %d: %w", v, len(data), limit, ErrTooLarge)
	}
	if err := mode.Unmarshal(data, v); err != nil {
		return fmt.Errorf("decode %T: %w: %w", v, ErrNotCanonical, err)
	}
	again, err := Encode(v)
	if err != nil {
		return fmt.Errorf("decode %T: %w: %w", v, ErrNotCanonical, err)
	}
	if !bytes.Equal(again, data) {
		return fmt.Errorf("decode %T: %w", v, ErrNotCanonical)
	}
	return nil
}

// mustEncode serves this package's own message types, whose fields always encode.
func mustEncode(v any) []byte {
	b, err := Encode(v)
	if err != nil {
		panic(err)
	}
	return b
}
