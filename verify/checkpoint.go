package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"drystone/protocol"
)

// MaxCheckpoint bounds a cosigned checkpoint, in bytes.
const MaxCheckpoint = 32 << 10

// keyType stands before the public key in a key ID: C2SP signed-note reserves 0xff for types that it has not assigned,
// followed by a longer identifier.
const keyType = "\xffdrystone/secp256k1/1"

// ErrCheckpoint means that a text is no checkpoint of the run that the council signed.
var ErrCheckpoint = errors.New("not a valid checkpoint")

// Origin is the first line of the checkpoints of a run's log.
func Origin(run protocol.Digest) string { return "drystone/" + run.String() }

// Checkpoint is a verified statement about a log: who says that its first Size leaves have this root.
type Checkpoint struct {
	Run     protocol.Digest
	Size    uint64
	Root    protocol.Digest
	Signers []protocol.PeerID // members of the council, ascending
}

// noteKey is a secp256k1 key as a key of signed notes. The key's name is the peer ID in base58; a signature is 64 bytes
// over Hash("checkpoint", text).
type noteKey struct {
	id  protocol.PeerID
	key *protocol.Key // nil for a verifier
}

func (n noteKey) Name() string { return n.id.String() }

func (n noteKey) KeyHash() uint32 {
	h := sha256.Sum256(append([]byte(n.Name()+"\n"+keyType), n.id[:]...))
	return binary.BigEndian.Uint32(h[:])
}

func (n noteKey) Sign(msg []byte) ([]byte, error) {
	sig := n.key.SignDigest(protocol.Hash(protocol.DomainCheckpoint, msg))
	return sig[:], nil
}

func (n noteKey) Verify(msg, sig []byte) bool {
	var s protocol.Signature
	return copy(s[:], sig) == len(sig) && len(sig) == len(s) && n.id.VerifyDigest(protocol.Hash(protocol.DomainCheckpoint, msg), s) == nil
}

func checkpointText(run protocol.Digest, size uint64, root protocol.Digest) string {
	return fmt.Sprintf("%s\n%d\n%s\n", Origin(run), size, base64.StdEncoding.EncodeToString(root[:]))
}

// SignCheckpoint returns the signed note by which k says that the first size leaves of the run's log have this root.
func SignCheckpoint(k protocol.Key, run protocol.Digest, size uint64, root protocol.Digest) ([]byte, error) {
	b, err := note.Sign(&note.Note{Text: checkpointText(run, size, root)}, noteKey{k.ID(), &k})
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	return b, nil
}

// OpenCheckpoint verifies a checkpoint of the council's run. Signatures by others are not counted; one by a member that
// does not verify spoils the note. The caller compares the number of signers with the threshold it wants; there is at
// least one. Errors are ErrCheckpoint, wrapped.
func OpenCheckpoint(msg []byte, c *protocol.Council) (*Checkpoint, error) {
	n, err := openNote(msg, c)
	if err != nil {
		return nil, err
	}
	return checkpointOf(n, c.Run)
}

// checkpointOf reads a note that openNote returned.
func checkpointOf(n *note.Note, run protocol.Digest) (*Checkpoint, error) {
	cp, err := parseCheckpoint(n.Text, run)
	if err != nil {
		return nil, err
	}
	for _, s := range n.Sigs { // note.Open drops duplicates
		id, err := protocol.ParsePeerID(s.Name)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
		}
		cp.Signers = append(cp.Signers, id)
	}
	sortPeers(cp.Signers)
	return cp, nil
}

func parseCheckpoint(text string, run protocol.Digest) (*Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[0] != Origin(run) || lines[3] != "" {
		return nil, fmt.Errorf("want origin %s, size and root, each on a line: %w", Origin(run), ErrCheckpoint)
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil {
		return nil, fmt.Errorf("size: %w: %w", ErrCheckpoint, err)
	}
	cp := &Checkpoint{Run: run, Size: size}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || copy(cp.Root[:], root) != len(root) || len(root) != len(cp.Root) || checkpointText(run, size, cp.Root) != text {
		return nil, fmt.Errorf("size or root is not in its canonical form: %w", ErrCheckpoint)
	}
	return cp, nil
}

// MergeCheckpoints joins the signatures that members of the council put under one checkpoint text into one note,
// ascending by signer. Every note must be valid, and their texts equal.
func MergeCheckpoints(c *protocol.Council, notes ...[]byte) ([]byte, error) {
	if len(notes) == 0 {
		return nil, fmt.Errorf("no checkpoint to merge: %w", ErrCheckpoint)
	}
	var text []byte
	lines := map[protocol.PeerID]string{}
	for _, msg := range notes {
		n, err := openNote(msg, c)
		if err != nil {
			return nil, err
		}
		if _, err := checkpointOf(n, c.Run); err != nil {
			return nil, err
		}
		if text == nil {
			text = []byte(n.Text)
		}
		if string(text) != n.Text {
			return nil, fmt.Errorf("the checkpoints to merge are about different logs or sizes: %w", ErrCheckpoint)
		}
		for _, s := range n.Sigs {
			id, err := protocol.ParsePeerID(s.Name)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
			}
			lines[id] = fmt.Sprintf("\u2014 %s %s\n", s.Name, s.Base64)
		}
	}
	signers := make([]protocol.PeerID, 0, len(lines))
	for id := range lines {
		signers = append(signers, id)
	}
	sortPeers(signers)
	out := bytes.NewBuffer(append(text, '\n'))
	for _, id := range signers {
		out.WriteString(lines[id])
	}
	return out.Bytes(), nil
}

// OpenNote verifies a checkpoint of a run's log under one signer's key alone.
func OpenNote(msg []byte, run protocol.Digest, signer protocol.PeerID) (*Checkpoint, error) {
	n, err := openNote(msg, &protocol.Council{Members: []protocol.Aggregator{{ID: signer}}})
	if err != nil {
		return nil, err
	}
	return checkpointOf(n, run)
}

// openNote verifies a note's signatures by members of the council and drops all others.
func openNote(msg []byte, c *protocol.Council) (*note.Note, error) {
	if len(msg) > MaxCheckpoint {
		return nil, fmt.Errorf("%d bytes, limit %d: %w", len(msg), MaxCheckpoint, ErrCheckpoint)
	}
	verifiers := make([]note.Verifier, len(c.Members))
	for i, m := range c.Members {
		verifiers[i] = noteKey{id: m.ID}
	}
	n, err := note.Open(msg, note.VerifierList(verifiers...))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	for _, sig := range n.Sigs {
		if _, err := base64.StdEncoding.Strict().DecodeString(sig.Base64); err != nil {
			return nil, fmt.Errorf("signature of %s is not in its canonical form: %w", sig.Name, ErrCheckpoint)
		}
	}
	return n, nil
}
