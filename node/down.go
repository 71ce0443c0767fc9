package node

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"drystone/aggregate"
	"drystone/protocol"
)

// fetchUpdates bounds how many payloads of the way down are fetched at once.
const fetchUpdates = 16

// errNoShortcut means that a state cannot be made of an earlier one and payloads, or that this would take more bytes.
var errNoShortcut = errors.New("no earlier state here from which payloads lead on in fewer bytes")

// putUpdates keeps payloads of the way down for whoever asks.
func (m *member) putUpdates(payloads ...[]byte) error {
	for _, p := range payloads {
		if len(p) == 0 {
			continue
		}
		if _, err := m.blobs.Put(p); err != nil {
			return err
		}
	}
	return nil
}

// model reads the state of that root, which a round opens with or, in a run with a delay, trains from. Where the run has a way
// down and an earlier state is here it fetches payloads if they are fewer bytes than the state, and the state itself if that
// does not lead to root.
func (m *member) model(ctx context.Context, round uint32, root protocol.Digest, sources func() []protocol.PeerID) ([]float32, error) {
	if m.spec.Codec.Down == "" || m.blobs.Has(root) {
		return m.vector(ctx, root, m.params, sources)
	}
	if at, _, err := m.history.modelRoot(round); round > 0 && (err != nil || at != root) {
		round-- // it trains from the state of the round before
	}
	theta, err := m.stepTo(ctx, round, root, sources)
	if err == nil {
		return theta, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if !errors.Is(err, errNoShortcut) {
		m.cfg.Log.Warn("fetching a whole state", "round", round, "err", err)
	}
	return m.vector(ctx, root, m.params, sources)
}

// stepTo makes the state of a round from the newest earlier one that is here, and keeps it for others.
func (m *member) stepTo(ctx context.Context, round uint32, root protocol.Digest, sources func() []protocol.PeerID) ([]float32, error) {
	from, err := m.shortcut(round)
	if err != nil {
		return nil, err
	}
	start, _, err := m.history.modelRoot(from)
	if err != nil {
		return nil, err
	}
	theta, err := m.vector(ctx, start, m.params, sources)
	if err != nil {
		return nil, err
	}
	for ; from < round; from++ {
		cert, err := m.certificate(from)
		if err == nil {
			err = m.step(ctx, cert, theta, sources)
		}
		if err != nil {
			return nil, fmt.Errorf("round %d: %w", from, err)
		}
	}
	if got := aggregate.VectorRoot(theta); got != root {
		return nil, fmt.Errorf("payloads lead to state %s, the certificate names %s", got.Short(), root.Short())
	}
	if _, err := m.blobs.Put(floatBytes(theta)); err != nil {
		return nil, err
	}
	m.announce(root) // and its payloads with it
	return theta, nil
}

// shortcut returns the newest round before this one whose state is here, if payloads from there on are fewer bytes than a
// state, those not counted that are here.
func (m *member) shortcut(round uint32) (from uint32, err error) {
	bytes, limit := int64(0), 4*int64(m.params)
	for from = round; from > 0; {
		from--
		cert, err := m.certificate(from)
		if err != nil {
			return 0, err
		}
		for _, u := range cert.Updates {
			if u.Size > 0 && !m.blobs.Has(u.Root) {
				bytes += int64(u.Size)
			}
		}
		if bytes >= limit {
			break
		}
		if root, _, err := m.history.modelRoot(from); err == nil && m.blobs.Has(root) {
			return from, nil
		}
	}
	return 0, errNoShortcut
}

// certificate returns a round's Certificate, whose updates are possible ones.
func (m *member) certificate(round uint32) (*protocol.Certificate, error) {
	cert, _, err := statementOf[protocol.Certificate](m.history, protocol.KindCertificate, round)
	if err == nil {
		err = cert.CheckUpdates(&m.spec.Codec, m.params)
	}
	return cert, err
}

// step fetches the payloads that a Certificate names and takes theta to the state after its round.
func (m *member) step(ctx context.Context, cert *protocol.Certificate, theta []float32, sources func() []protocol.PeerID) error {
	return m.updates(ctx, cert, sources, func(shard int, payload []byte) error {
		lo, hi := m.spec.Codec.Shard(m.params, shard)
		return aggregate.ApplyDown(m.spec, theta[lo:hi], payload)
	})
}

// updates fetches the payloads that a Certificate names and hands over each as it comes, from several goroutines.
func (m *member) updates(ctx context.Context, cert *protocol.Certificate, sources func() []protocol.PeerID, take func(shard int, payload []byte) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(fetchUpdates)
	for k, u := range cert.Updates {
		if u.Size == 0 {
			continue
		}
		g.Go(func() error {
			payload, err := m.update(ctx, cert, u, sources)
			if err == nil {
				err = take(k, payload)
			}
			if err != nil {
				return fmt.Errorf("shard %d: %w", k, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// update reads a payload. Who has the state that it leads to has it as well.
func (m *member) update(ctx context.Context, cert *protocol.Certificate, u protocol.ShardUpdate, sources func() []protocol.PeerID) ([]byte, error) {
	from := func() []protocol.PeerID {
		if m.haves == nil {
			return sources()
		}
		return slices.Concat(sources(), m.haves.Providers(cert.Model))
	}
	return m.get(ctx, u.Root, int64(u.Size), int64(u.Size), from)
}

// shardModel returns the bytes of a shard's parameters after a round, whose root is known: from those before it, if before is
// not nil, by the payload; else, or if that does not lead to root, whole from an owner of the shard.
func (a *Aggregator) shardModel(ctx context.Context, cert *protocol.Certificate, shard int, before []float32, root protocol.Digest) ([]byte, error) {
	lo, hi := a.spec.Codec.Shard(a.params, shard)
	if before != nil && !a.blobs.Has(root) {
		part, err := a.stepShard(ctx, cert, cert.Updates[shard], before[lo:hi], root)
		if err == nil || ctx.Err() != nil {
			return part, err
		}
		a.cfg.Log.Warn("fetching a whole shard", "shard", shard, "err", err)
	}
	size := int64(4 * (hi - lo))
	return a.get(ctx, root, size, size, a.councilPeers)
}

// stepShard takes a shard's parameters to those after a round in place, and returns their bytes.
func (a *Aggregator) stepShard(ctx context.Context, cert *protocol.Certificate, u protocol.ShardUpdate, theta []float32, root protocol.Digest) ([]byte, error) {
	if u.Size > 0 {
		payload, err := a.update(ctx, cert, u, a.councilPeers)
		if err != nil {
			return nil, err
		}
		if err := aggregate.ApplyDown(a.spec, theta, payload); err != nil {
			return nil, err
		}
	}
	part := floatBytes(theta)
	if got := protocol.MerkleRoot(part); got != root {
		return nil, fmt.Errorf("the payload leads to parameters %s, the shard's certificate names %s", got.Short(), root.Short())
	}
	return part, nil
}
