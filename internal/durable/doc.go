// Package durable keeps bytes on disk so that a crash never shows half of them. It holds four things:
//
//   - WriteFile replaces one file atomically;
//   - Store is a content-addressed blob store: a blob's name is its protocol.MerkleRoot, and every read of a whole blob
//     is checked against it;
//   - Journal is a file of small records, each on the disk before it is acknowledged;
//   - Lock gives one process exclusive use of a data directory.
//
// # How a file is written
//
//	open   DIR/.tmp-NAME-RANDOM        a temporary file beside its target, so that the rename stays in one file system
//	write  DIR/.tmp-NAME-RANDOM
//	fsync  DIR/.tmp-NAME-RANDOM        the bytes are on the disk before the name points at them
//	rename DIR/.tmp-NAME-RANDOM NAME   readers see the old file or the new one, never a mixture
//	fsync  DIR                         the name itself is on the disk (skipped on Windows, which cannot)
//
// An error names the step that failed. Up to the rename the old file is whole and the temporary file is removed; if
// only the last step failed, the new file is in place but may not survive a power cut. A process killed midway leaves
// a ".tmp-" file behind, which OpenStore sweeps away.
//
// # How a store lies on disk
//
//	DIR/ab/cdef0123...   62 hexadecimal digits; DIR/ab holds the blobs whose digest begins with byte 0xab
//
// A Store is safe for concurrent use by one process; Lock the directory first. The package starts no goroutine.
package durable
