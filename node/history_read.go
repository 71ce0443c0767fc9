package node

import (
	"fmt"

	"drystone/protocol"
)

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
	return h.council(), h.genesis
}

// find returns the statement of a kind, Councils excepted, and round; nil if the chain has none yet.
func (h *history) find(kind protocol.Kind, round uint32) *protocol.SignedStatement {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i, ok := h.places[slot{kind, round}]; ok {
		return h.chain[i]
	}
	return nil
}

// held returns the statement with this digest, or nil.
func (h *history) held(d protocol.Digest) *protocol.SignedStatement {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i, ok := h.digests[d]; ok {
		return h.chain[i]
	}
	return nil
}

// newestOpen returns the last Open of the chain, nil before the first.
func (h *history) newestOpen() *protocol.SignedStatement {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.opened
}

// councilChanges returns the Council statements of the chain, in order.
func (h *history) councilChanges() []protocol.SignedStatement {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []protocol.SignedStatement
	for i := 1; i < len(h.councils); i++ {
		out = append(out, *h.chain[h.councils[i].from-1])
	}
	return out
}

// underWay reports whether the chain ends within a round.
func (h *history) underWay() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.chain) == 0 {
		return false
	}
	k := h.chain[len(h.chain)-1].Statement.Kind
	return k == protocol.KindOpen || k == protocol.KindFreeze || k == protocol.KindRevealSet
}

// ended reports whether the chain is over by an End.
func (h *history) ended() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.chain) > 0 && h.chain[len(h.chain)-1].Statement.Kind == protocol.KindEnd
}

// statementOf decodes the body at the given kind and round. It fails if the chain is not that long.
func statementOf[T protocol.StatementBody](h *history, kind protocol.Kind, round uint32) (*T, *protocol.SignedStatement, error) {
	s := h.find(kind, round)
	if s == nil && h.ended() {
		return nil, nil, fmt.Errorf("%s of round %d: %w", kind, round, errEnded)
	}
	if s == nil {
		return nil, nil, fmt.Errorf("%s of round %d is not known here yet", kind, round)
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

// startRoot returns the root of the parameters that an opened round trains from.
func (h *history) startRoot(round uint32) (protocol.Digest, error) {
	open, _, err := statementOf[protocol.Open](h, protocol.KindOpen, round)
	if err != nil {
		return protocol.Digest{}, err
	}
	return open.From(), nil
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
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.certs
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
