package aggregate

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strconv"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"drystone/protocol"
)

// The transparency log is the RFC 6962 tree over all leaves in log order. The machine keeps no leaf, only the compact
// range: the roots of the perfect subtrees that the tree is made of, at most 64.

var rangeFactory = compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}

// appendLeaf adds the message to the transparency log and hands its leaf out with the effects.
func (m *Machine) appendLeaf(t RecordType, msg any) {
	leaf := EncodeLeaf(t, msg)
	l := &m.s.Log
	r, err := rangeFactory.NewRange(0, l.Size, l.Hashes)
	if err == nil {
		err = r.Append(rfc6962.DefaultHasher.HashLeaf(leaf), nil)
	}
	if err != nil {
		return // not reachable: Restore refuses a range whose hashes do not fit its size
	}
	l.Size, l.Hashes = r.End(), r.Hashes()
	m.fx.Leaves = append(m.fx.Leaves, leaf)
}

// Log returns the size and the root of the transparency log.
func (m *Machine) Log() (size uint64, root protocol.Digest) { return m.s.Log.Size, m.logRoot() }

// logRoot is the root of the transparency log.
func (m *Machine) logRoot() protocol.Digest {
	if m.s.Log.Size == 0 {
		return protocol.RootOf(nil)
	}
	r, err := rangeFactory.NewRange(0, m.s.Log.Size, m.s.Log.Hashes)
	if err != nil {
		return protocol.Digest{} // as above
	}
	root, err := r.GetRootHash(nil)
	if err != nil {
		return protocol.Digest{}
	}
	return protocol.Digest(root)
}

// targetCheckpoint makes the log's present size the one to cosign.
func (m *Machine) targetCheckpoint() {
	m.s.Log.Target = &CosignedCheckpoint{Size: m.s.Log.Size, Root: m.logRoot()}
}

func (m *Machine) checkpoint(c *Checkpoint) error {
	if err := m.member(c.Signer); err != nil {
		return err
	}
	target, last := m.s.Log.Target, m.s.Log.Last
	if target == nil || c.Size != target.Size {
		switch {
		case last != nil && last.Size == c.Size && noted(last, c.Signer):
			return refuse(ErrDuplicate, "checkpoint of size %d by %s", c.Size, c.Signer.Short())
		case c.Size > m.s.Log.Size:
			return refuse(ErrEarly, "checkpoint of size %d, the log has %d leaves", c.Size, m.s.Log.Size)
		}
		return refuse(ErrLate, "checkpoint of size %d by %s, which is not under signature", c.Size, c.Signer.Short())
	}
	if noted(target, c.Signer) {
		return refuse(ErrDuplicate, "checkpoint of size %d by %s", c.Size, c.Signer.Short())
	}
	if err := checkNote(c, target.Root); err != nil {
		return err
	}
	if m.cfg.VerifyNote != nil {
		if err := m.cfg.VerifyNote(c.Signer, c.Note); err != nil {
			return refuse(ErrInvalid, "checkpoint of size %d by %s: %v", c.Size, c.Signer.Short(), err)
		}
	}
	i, _ := search(target.Notes, c.Signer, noteKey)
	target.Notes = slices.Insert(target.Notes, i, SignedNote{Signer: c.Signer, Note: c.Note})
	if len(target.Notes) >= m.threshold() {
		m.s.Log.Last, m.s.Log.Target = target, nil
		m.fx.Checkpoints = append(m.fx.Checkpoints, target.clone())
	}
	return nil
}

// checkNote compares a note with the size and root (C2SP tlog-checkpoint: origin, size in decimal, root in base64).
func checkNote(c *Checkpoint, root protocol.Digest) error {
	if len(c.Note) > MaxNote {
		return refuse(ErrInvalid, "checkpoint of size %d: note of %d bytes, limit %d", c.Size, len(c.Note), MaxNote)
	}
	lines := bytes.SplitN(c.Note, []byte("\n"), 4)
	if len(lines) < 4 || string(lines[1]) != strconv.FormatUint(c.Size, 10) {
		return refuse(ErrInvalid, "checkpoint of size %d: the note is not one of this size", c.Size)
	}
	if string(lines[2]) != base64.StdEncoding.EncodeToString(root[:]) {
		return refuse(ErrDiffers, "checkpoint of size %d by %s: another root than %s", c.Size, c.Signer.Short(), root.Short())
	}
	return nil
}

func noted(c *CosignedCheckpoint, id protocol.PeerID) bool {
	_, ok := search(c.Notes, id, noteKey)
	return ok
}

func (c *CosignedCheckpoint) clone() CosignedCheckpoint {
	n := CosignedCheckpoint{Size: c.Size, Root: c.Root}
	for _, note := range c.Notes {
		n.Notes = append(n.Notes, SignedNote{Signer: note.Signer, Note: slices.Clone(note.Note)})
	}
	return n
}
