package protocol

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
)

// Digest is a SHA-256 value: of a message under its domain, or the Merkle root of bulk data.
type Digest [32]byte

// String returns the 64 hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Short returns the first 8 hexadecimal digits, for display only.
func (d Digest) Short() string { return hex.EncodeToString(d[:4]) }

// IsZero reports whether d is the zero digest, which stands for "none".
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText encodes d as hexadecimal, for JSON and TOML.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText parses 64 hexadecimal digits.
func (d *Digest) UnmarshalText(text []byte) error {
	v, err := ParseDigest(string(text))
	if err == nil {
		*d = v
	}
	return err
}

// ParseDigest parses 64 hexadecimal digits.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if len(s) != 2*len(d) {
		return d, fmt.Errorf("digest %q: want 64 hexadecimal digits, have %d characters", clip(s), len(s))
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return d, fmt.Errorf("digest %q: %w", clip(s), err)
	}
	return d, nil
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}

// Domains of digests and signatures. Each message type has its own.
const (
	DomainRun        = "run"
	DomainStatement  = "statement"
	DomainJoin       = "join"
	DomainLeave      = "leave"
	DomainCommit     = "commit"
	DomainReceipt    = "receipt"
	DomainAttest     = "attest"
	DomainPayload    = "payload"
	DomainDraw       = "draw"
	DomainSeed       = "seed"
	DomainVerdict    = "verdict"
	DomainStates     = "states"
	DomainCheckpoint = "checkpoint"
	DomainOwner      = "owner"
	DomainPartial    = "partial"
	DomainShard      = "shard"
	DomainMerge      = "merge"
	DomainControl    = "control"
	DomainAccept     = "accept"
)

// Hash returns SHA-256("drystone/1/" domain 0x00 parts...). Parts are concatenated: callers with more than one part
// of variable length encode them first.
func Hash(domain string, parts ...[]byte) Digest {
	h := sha256.New()
	io.WriteString(h, "drystone/1/")
	io.WriteString(h, domain)
	h.Write([]byte{0})
	for _, p := range parts {
		h.Write(p)
	}
	var d Digest
	h.Sum(d[:0])
	return d
}
