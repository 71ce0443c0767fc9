package verify

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"drystone/protocol"
)

// ErrNoSplit means that two checkpoints do not contradict each other.
var ErrNoSplit = errors.New("no split view")

// SplitView proves that a signer showed two histories of one log: two checkpoints of one size with different roots,
// both under its signature. It needs nothing else to be believed.
type SplitView struct {
	_      struct{} `cbor:",toarray"`
	Run    protocol.Digest
	Signer protocol.PeerID
	A, B   []byte // signed notes, with at least the signer's signature
}

// FindSplitView compares two checkpoints and returns the evidence against the first signer of both, or ErrNoSplit.
func FindSplitView(run protocol.Digest, a, b []byte, members []protocol.PeerID) (*SplitView, error) {
	for _, id := range members {
		s := &SplitView{Run: run, Signer: id, A: a, B: b}
		if s.Verify() == nil {
			return s, nil
		}
	}
	return nil, ErrNoSplit
}

// Verify checks the evidence. It returns ErrNoSplit, wrapped, if it convicts nobody.
func (s *SplitView) Verify() error {
	a, err := s.open(s.A)
	if err != nil {
		return err
	}
	b, err := s.open(s.B)
	if err != nil {
		return err
	}
	if a.Size != b.Size || a.Root == b.Root {
		return fmt.Errorf("checkpoints of sizes %d and %d agree or cannot be compared: %w", a.Size, b.Size, ErrNoSplit)
	}
	return nil
}

func (s *SplitView) open(msg []byte) (*Checkpoint, error) {
	cp, err := OpenNote(msg, s.Run, s.Signer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoSplit, err)
	}
	return cp, nil
}

func sortPeers(ids []protocol.PeerID) {
	slices.SortFunc(ids, func(a, b protocol.PeerID) int { return bytes.Compare(a[:], b[:]) })
}
