// Package protocol is the vocabulary of a Drystone run: the RunSpec that defines it, the messages that peers and
// aggregators exchange in a round, and the rules for encoding, hashing and signing them. It is a leaf: it does no I/O,
// keeps no state, starts no goroutine, and every other package imports it.
//
// # Encoding
//
// Every message has exactly one valid encoding: deterministic CBOR (RFC 8949, section 4.2.1), definite lengths,
// shortest floats, no tags, no duplicate or unknown keys. Messages are CBOR arrays of their fields in declaration
// order; the RunSpec is a map with text keys, the same names as in run.toml. Decode refuses anything else: it bounds
// the input first, decodes strictly, encodes the result again and compares the bytes.
//
// # Digests
//
// A Digest is SHA-256. A message's digest is taken over a domain, so that no message can be read as another:
//
//	digest(domain, body) = SHA-256( "drystone/1/" domain 0x00 body )
//
// RunID is digest("run", canonical RunSpec). Bulk data (parameters, payloads, dataset chunks) is identified by
// MerkleRoot: the RFC 6962 tree over its 16 KiB leaves, so that any single leaf can be checked alone. One leaf holds
// 4096 float32 values, which is one codec chunk.
//
// # Signatures
//
// A peer is its compressed secp256k1 public key. Signatures are ECDSA over a domain digest with an RFC 6979 nonce,
// 64 bytes R || S, low S only, so a signature too has one valid encoding.
//
// # The statement chain
//
// Aggregators speak in statements, each naming the digest of the one before and signed by t of the n aggregators that
// the Genesis lists:
//
//	Genesis -> Open 0 -> Freeze 0 -> RevealSet 0 -> Certificate 0 -> Open 1 -> ...
//
// Between a Certificate and the next Open there may be Councils, which change the set (signed by the one before), and in
// place of an Open the End of a run that its founder stopped. Both follow a Control, the founder's signed order.
//
// No statement holds a clock reading: with every peer on time one seed gives one chain, byte for byte. docs/protocol.md
// tells the whole round.
package protocol
