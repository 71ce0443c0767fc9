package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"drystone/gossip"
	"drystone/internal/durable"
	"drystone/protocol"
)

// getter reads blobs from disk first, then from the sources and from whoever has announced them, keeping what it fetched.
func (m *member) getter(sources func() []protocol.PeerID) blobGetter {
	return func(ctx context.Context, d protocol.Digest, limit int64) ([]byte, error) {
		return m.get(ctx, d, limit, 0, sources)
	}
}

// vector reads a state vector of n parameters by its root.
func (m *member) vector(ctx context.Context, root protocol.Digest, n int, sources func() []protocol.PeerID) ([]float32, error) {
	size := int64(4 * n)
	data, err := m.get(ctx, root, size, size, sources)
	if err != nil {
		return nil, fmt.Errorf("state %s: %w", root.Short(), err)
	}
	return bytesFloats(data, n)
}

// get reads blob d of at most limit bytes, or of exactly size bytes if that is not 0. What a fetch has got is kept on disk and
// served to others from the first piece on.
func (m *member) get(ctx context.Context, d protocol.Digest, limit, size int64, sources func() []protocol.PeerID) ([]byte, error) {
	data, err := m.blobs.Get(d, limit)
	if err == nil {
		return data, nil
	}
	if !errors.Is(err, durable.ErrNotFound) && !errors.Is(err, durable.ErrCorrupt) {
		return nil, err
	}
	if errors.Is(err, durable.ErrCorrupt) {
		m.cfg.Log.Warn("fetching a damaged blob again", "blob", d.Short(), "err", err)
	}
	from := func() []protocol.PeerID {
		if m.haves == nil {
			return sources()
		}
		return slices.Concat(sources(), m.haves.Providers(d))
	}
	more := func() []protocol.PeerID { return slices.Concat(from(), m.host.Peers()) } // a newcomer has heard no announcement yet
	var once sync.Once
	opt := gossip.FetchOptions{
		Size: size, More: more,
		Part:     func() (gossip.PartStore, error) { return m.blobs.OpenPart(d) },
		Progress: func(int64, int64) { once.Do(func() { m.announce(d) }) },
	}
	if data, err = m.host.Fetch(ctx, d, limit, from(), opt); err != nil {
		return nil, err
	}
	if _, err := m.blobs.Put(data); err != nil {
		return nil, err
	}
	if err := m.blobs.RemovePart(d); err != nil {
		m.cfg.Log.Warn("a part of a blob stays on the disk", "blob", d.Short(), "err", err)
	}
	return data, nil
}

// joinHaves takes part in telling who has the states of the newest rounds.
func (m *member) joinHaves() (err error) {
	m.haves, err = m.host.JoinHaves(func(d protocol.Digest) bool { return m.history.current(d) })
	return err
}

// announce tells in the background that pieces of a blob are here, if peers of the run should have it now.
func (m *member) announce(d protocol.Digest) {
	if m.haves == nil || !m.history.current(d) {
		return
	}
	m.spawn(func(ctx context.Context) {
		if err := m.haves.Announce(ctx, d); err != nil && ctx.Err() == nil {
			m.cfg.Log.Debug("announce", "blob", d.Short(), "err", err)
		}
	})
}

// announceStates tells of the newest certified state, if it is here.
func (m *member) announceStates() {
	for _, d := range m.history.states(m.history.rounds()) {
		if m.blobs.Has(d) {
			m.announce(d)
		}
	}
}

// current reports whether d is a state at the start of one of the two newest rounds.
func (h *history) current(d protocol.Digest) bool {
	r := h.rounds()
	for _, s := range h.states(r) {
		if s == d {
			return true
		}
	}
	if r > 0 {
		for _, s := range h.states(r - 1) {
			if s == d {
				return true
			}
		}
	}
	return false
}

// states returns the ModelRoot and OuterRoot at the start of a round, if they are known.
func (h *history) states(round uint32) []protocol.Digest {
	model, outer, err := h.modelRoot(round)
	if err != nil {
		return nil
	}
	return []protocol.Digest{model, outer}
}
