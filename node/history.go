package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"drystone/internal/durable"
	"drystone/protocol"
)

// errForked means that two different statements with valid signatures stand at one place of the chain. It is evidence
// against whoever signed both.
var errForked = errors.New("two different statements at one place of the chain")

// errEnded means that the awaited statement never comes: the founder stopped the run before that round.
var errEnded = errors.New("the run ended before this round")

// history is the verified statement chain, in order and without gaps, kept on disk one file per statement. It is safe
// for concurrent use.
type history struct {
	dir  string
	spec *protocol.RunSpec
	run  protocol.Digest

	mu       sync.Mutex
	genesis  *protocol.Genesis
	councils []reign // every aggregator set so far; the last one signs what comes next
	chain    []*protocol.SignedStatement
	digests  map[protocol.Digest]uint64 // place of every statement
	places   map[slot]uint64            // place of every statement but Councils, of which a round may have many
	opened   *protocol.SignedStatement  // the last Open; nil before the first
	certs    uint32                     // certified rounds
	changed  chan struct{}              // closed and replaced at every append
}

// reign is an aggregator set and the place of the first statement that it signs.
type reign struct {
	from    uint64
	council *protocol.Council
}

// slot names a statement of a round.
type slot struct {
	kind  protocol.Kind
	round uint32
}

// openHistory loads and verifies what a directory holds. A damaged file is an error that names it; statements after a
// missing one are not read, since the network has them. Of signatures it checks all, or those of the Genesis, of Councils
// and of the last statement, which names all before it by digest, so that a long run starts in seconds; what it sends to
// others, they check.
func openHistory(dir string, spec *protocol.RunSpec, run protocol.Digest, all bool) (*history, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("statement directory: %w", err)
	}
	h := &history{dir: dir, spec: spec, run: run, digests: map[protocol.Digest]uint64{}, places: map[slot]uint64{}, changed: make(chan struct{})}
	s, err := h.read(0)
	for i := uint64(0); s != nil && err == nil; i++ {
		var next *protocol.SignedStatement
		if next, err = h.read(i + 1); err != nil {
			break
		}
		if err := h.take(s, all || next == nil, func() error { return nil }); err != nil {
			return nil, h.damaged(i, err)
		}
		s = next
	}
	if err != nil {
		return nil, err
	}
	return h, nil
}

// read returns a statement from the disk, nil if it is not there.
func (h *history) read(i uint64) (*protocol.SignedStatement, error) {
	data, err := os.ReadFile(h.path(i))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read statement %d: %w", i, err)
	}
	s, err := protocol.DecodeStatement(data)
	if err != nil {
		return nil, h.damaged(i, err)
	}
	return s, nil
}

func (h *history) damaged(i uint64, err error) error {
	return fmt.Errorf("%s is damaged; delete it and what follows, the run's peers have it: %w", h.path(i), err)
}

func (h *history) path(i uint64) string { return filepath.Join(h.dir, fmt.Sprintf("%08d.cbor", i)) }

// verify checks that s is the next statement, and returns the council that signs what comes after it. Signatures may be
// left to a later statement, but those of a Genesis and of a Council. The caller holds mu or is alone.
func (h *history) verify(s *protocol.SignedStatement, signed bool) (*protocol.Genesis, *protocol.Council, error) {
	if len(h.chain) == 0 {
		return protocol.OpenGenesis(h.spec, h.run, s)
	}
	if err := s.Statement.Follows(&h.chain[len(h.chain)-1].Statement); err != nil {
		return nil, nil, err
	}
	council := h.council()
	if signed || s.Statement.Kind == protocol.KindCouncil {
		if err := council.Verify(s); err != nil {
			return nil, nil, err
		}
	}
	next, err := council.After(h.spec, &s.Statement)
	return h.genesis, next, err
}

// take verifies the next statement, stores it and appends it.
func (h *history) take(s *protocol.SignedStatement, signed bool, store func() error) error {
	genesis, council, err := h.verify(s, signed)
	if err != nil {
		return err
	}
	if err := store(); err != nil {
		return err
	}
	st, at := &s.Statement, uint64(len(h.chain))
	if h.genesis = genesis; council != h.council() {
		h.councils = append(h.councils, reign{at + 1, council})
	}
	h.digests[st.Digest()] = at
	switch st.Kind {
	case protocol.KindCouncil:
	case protocol.KindOpen:
		h.opened = s
		h.places[slot{st.Kind, st.Round}] = at
	case protocol.KindCertificate:
		h.certs = st.Round + 1
		fallthrough
	default:
		h.places[slot{st.Kind, st.Round}] = at
	}
	h.chain = append(h.chain, s)
	return nil
}

// council returns the set that signs what comes next, nil before the Genesis. The caller holds mu or is alone.
func (h *history) council() *protocol.Council {
	if len(h.councils) == 0 {
		return nil
	}
	return h.councils[len(h.councils)-1].council
}

// add verifies s and appends it durably. A statement that is already there is no error and gives false; one that lies
// further ahead gives false too, and the caller fetches what is missing.
func (h *history) add(s *protocol.SignedStatement) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.digests[s.Statement.Digest()]; ok {
		return false, nil
	}
	if err := h.rival(&s.Statement, s); err != nil {
		return false, err
	}
	if n := len(h.chain); n == 0 && s.Statement.Kind != protocol.KindGenesis || n > 0 && s.Statement.Prev != h.chain[n-1].Statement.Digest() {
		return false, nil
	}
	if err := h.take(s, true, func() error { return durable.WriteFile(h.path(uint64(len(h.chain))), s.Encode(), 0o600) }); err != nil {
		return false, err
	}
	close(h.changed)
	h.changed = make(chan struct{})
	return true, nil
}

// rival returns errForked if another statement stands in the place of s, which is not in the chain, and the set of that
// place signed both.
func (h *history) rival(st *protocol.Statement, s *protocol.SignedStatement) error {
	at, taken := h.places[slot{st.Kind, st.Round}]
	if before, ok := h.digests[st.Prev]; ok && before+1 < uint64(len(h.chain)) {
		at, taken = before+1, true
	}
	if !taken {
		return nil
	}
	for i := len(h.councils) - 1; i >= 0; i-- {
		if r := h.councils[i]; r.from <= at {
			if r.council.Verify(s) != nil {
				return nil
			}
			return h.forked(h.chain[at], s)
		}
	}
	return nil
}
