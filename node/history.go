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

// history is the verified statement chain, in order and without gaps, kept on disk one file per statement. It is safe
// for concurrent use.
type history struct {
	dir  string
	spec *protocol.RunSpec
	run  protocol.Digest

	mu      sync.Mutex
	council *protocol.Council
	genesis *protocol.Genesis
	chain   []*protocol.SignedStatement
	changed chan struct{} // closed and replaced at every append
}

// openHistory loads and verifies what a directory holds. A damaged file is an error that names it; statements after a
// missing one are not read, since the network has them.
func openHistory(dir string, spec *protocol.RunSpec, run protocol.Digest) (*history, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("statement directory: %w", err)
	}
	h := &history{dir: dir, spec: spec, run: run, changed: make(chan struct{})}
	for i := uint64(0); ; i++ {
		data, err := os.ReadFile(h.path(i))
		if errors.Is(err, fs.ErrNotExist) {
			return h, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", placeName(i), err)
		}
		s, err := protocol.DecodeStatement(data)
		if err == nil {
			err = h.verify(s)
		}
		if err != nil {
			return nil, fmt.Errorf("%s is damaged; delete it and what follows, the run's peers have it: %w", h.path(i), err)
		}
		h.push(s)
	}
}

func (h *history) path(i uint64) string { return filepath.Join(h.dir, fmt.Sprintf("%08d.cbor", i)) }

// verify checks that s is the next statement. The caller holds mu or is alone.
func (h *history) verify(s *protocol.SignedStatement) error {
	if len(h.chain) == 0 {
		_, _, err := protocol.OpenGenesis(h.spec, h.run, s)
		return err
	}
	if err := s.Statement.Follows(&h.chain[len(h.chain)-1].Statement); err != nil {
		return err
	}
	return h.council.Verify(s)
}

func (h *history) push(s *protocol.SignedStatement) {
	if len(h.chain) == 0 {
		h.genesis, h.council, _ = protocol.OpenGenesis(h.spec, h.run, s)
	}
	h.chain = append(h.chain, s)
}

// add verifies s and appends it durably. A statement that is already there is no error and gives false; one that lies
// further ahead gives false too, and the caller fetches what is missing.
func (h *history) add(s *protocol.SignedStatement) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := place(&s.Statement)
	if at < uint64(len(h.chain)) {
		if h.chain[at].Statement.Digest() != s.Statement.Digest() && h.council.Verify(s) == nil {
			return false, fmt.Errorf("%s: %w", placeName(at), errForked)
		}
		return false, nil
	}
	if at > uint64(len(h.chain)) {
		return false, nil
	}
	if err := h.verify(s); err != nil {
		return false, err
	}
	if err := durable.WriteFile(h.path(at), s.Encode(), 0o600); err != nil {
		return false, err
	}
	h.push(s)
	close(h.changed)
	h.changed = make(chan struct{})
	return true, nil
}

// length returns the number of statements.
func (h *history) length() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return uint64(len(h.chain))
}

// at returns the statement at a place, or nil.
func (h *history) at(i uint64) *protocol.SignedStatement {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i >= uint64(len(h.chain)) {
		return nil
	}
	return h.chain[i]
}

// wait returns a channel that is closed when a statement is added after this call.
func (h *history) wait() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changed
}

// rules returns the council and Genesis, or nil before the Genesis is known.
func (h *history) rules() (*protocol.Council, *protocol.Genesis) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.council, h.genesis
}

// statementOf decodes the body at the given kind and round. It fails if the chain is not that long.
func statementOf[T protocol.Genesis | protocol.Open | protocol.Freeze | protocol.RevealSet | protocol.Certificate](h *history, kind protocol.Kind, round uint32) (*T, *protocol.SignedStatement, error) {
	i := place(&protocol.Statement{Kind: kind, Round: round})
	s := h.at(i)
	if s == nil {
		return nil, nil, fmt.Errorf("%s is not known here yet", placeName(i))
	}
	b, err := protocol.DecodeBody[T](&s.Statement)
	return b, s, err
}

// modelRoot returns the ModelRoot and OuterRoot of the public state at the start of a round: those of the Genesis for
// round 0, else of the Certificate before.
func (h *history) modelRoot(round uint32) (model, outer protocol.Digest, err error) {
	if round == 0 {
		g, _, err := statementOf[protocol.Genesis](h, protocol.KindGenesis, 0)
		if err != nil {
			return model, outer, err
		}
		return g.Model, g.Outer, nil
	}
	c, _, err := statementOf[protocol.Certificate](h, protocol.KindCertificate, round-1)
	if err != nil {
		return model, outer, err
	}
	return c.Model, c.Outer, nil
}

// shards returns the shards that a rostered peer is assigned in an opened round, of a model of params parameters; nil for
// all.
func (h *history) shards(round uint32, params int, p protocol.PeerID) ([]uint32, error) {
	open, _, err := statementOf[protocol.Open](h, protocol.KindOpen, round)
	if err != nil {
		return nil, err
	}
	return open.Shards(&h.spec.Codec, params, round, rosterIndex(open, p)), nil
}

// rounds returns the number of certified rounds.
func (h *history) rounds() uint32 {
	n := h.length()
	if n == 0 {
		return 0
	}
	return uint32((n - 1) / 4)
}

// encodeFrom returns statements from a place on, at most limit bytes of them.
func (h *history) encodeFrom(from uint64, limit int) ([]byte, error) {
	resp := statementsResponse{List: []protocol.SignedStatement{}}
	for size := 0; ; from++ {
		s := h.at(from)
		if s == nil {
			break
		}
		if size += len(s.Statement.Body) + 256 + 110*len(s.Sigs); size > limit {
			break
		}
		resp.List = append(resp.List, *s)
	}
	return protocol.Encode(resp)
}
