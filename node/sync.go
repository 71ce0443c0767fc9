package node

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"drystone/gossip"
	"drystone/protocol"
)

// pollEvery is how often a member asks for statements that gossip may have lost.
const pollEvery = 3 * time.Second

// roundView is what topic validators ask of the statement chain. commit finds a peer's commit of the newest round; it
// is nil for members that do not take part in the commit topic.
type roundView struct {
	h      *history
	params int
	commit func(p protocol.PeerID) (*protocol.Commit, bool)
}

func (v roundView) Council() (*protocol.Council, bool) {
	c, _ := v.h.rules()
	return c, c != nil
}

func (v roundView) Round() (uint32, protocol.Digest, bool) {
	s := v.h.newestOpen()
	if s == nil {
		return 0, protocol.Digest{}, false
	}
	return s.Statement.Round, s.Statement.Digest(), true
}

func (v roundView) Rostered(p protocol.PeerID) bool {
	s := v.h.newestOpen()
	if s == nil {
		return false
	}
	open, err := protocol.DecodeBody[protocol.Open](&s.Statement)
	return err == nil && rosterIndex(open, p) >= 0
}

func (v roundView) Shards(round uint32, p protocol.PeerID) []uint32 {
	shards, err := v.h.shards(round, v.params, p)
	if err != nil {
		return nil
	}
	return shards
}

func (v roundView) Commit(p protocol.PeerID) (*protocol.Commit, bool) {
	if v.commit == nil {
		return nil, false
	}
	return v.commit(p)
}

func (v roundView) Frozen() (*protocol.Freeze, bool) {
	round, _, ok := v.Round()
	if !ok {
		return nil, false
	}
	f, _, err := statementOf[protocol.Freeze](v.h, protocol.KindFreeze, round)
	return f, err == nil
}

func (v roundView) Known(st *protocol.SignedStatement) bool {
	held := v.h.held(st.Statement.Digest())
	return held != nil && !bytes.Equal(held.Encode(), st.Encode())
}

// rosterIndex returns a peer's assignment index in an Open, or -1.
func rosterIndex(open *protocol.Open, p protocol.PeerID) int {
	for i, id := range open.Roster {
		if id == p {
			return i
		}
	}
	return -1
}

// joinStatementTopics joins the two statement topics and subscribes to them.
func (m *member) joinStatementTopics(v *gossip.Validator) (control, cert *gossip.Topic, subs []*gossip.Subscription, err error) {
	if control, err = m.host.Join(gossip.TopicControl, v.Control); err != nil {
		return nil, nil, nil, err
	}
	if cert, err = m.host.Join(gossip.TopicCert, v.Cert); err != nil {
		return nil, nil, nil, err
	}
	for _, t := range []*gossip.Topic{control, cert} {
		s, err := t.Subscribe(256)
		if err != nil {
			return nil, nil, nil, err
		}
		subs = append(subs, s)
	}
	return control, cert, subs, nil
}

// follow keeps the history current from gossip and, for what gossip loses, by asking the council. It runs until the
// member closes.
func (m *member) follow(subs []*gossip.Subscription) {
	wake := make(chan struct{}, 1)
	for _, sub := range subs {
		m.spawn(func(ctx context.Context) {
			for {
				msg, err := sub.Next(ctx)
				if err != nil {
					return
				}
				s, err := protocol.DecodeStatement(msg.Data)
				if err != nil {
					continue // the validator has refused it already
				}
				m.learn(s)
				if m.history.held(s.Statement.Digest()) == nil {
					select {
					case wake <- struct{}{}:
					default:
					}
				}
			}
		})
	}
	m.spawn(func(ctx context.Context) {
		tick := time.NewTicker(pollEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-wake:
			case <-tick.C:
			}
			if err := m.catchUp(ctx, m.councilPeers()); err != nil && ctx.Err() == nil {
				m.cfg.Log.Debug("catch up", "err", err)
			}
		}
	})
}

// learn adds a statement to the history and reports what cannot be.
func (m *member) learn(s *protocol.SignedStatement) {
	added, err := m.history.add(s)
	if err != nil {
		m.cfg.Log.Warn("statement refused", "kind", s.Statement.Kind, "round", s.Statement.Round, "err", err)
		m.emit(Event{Kind: EventWarning, Round: s.Statement.Round, Text: "statement refused: " + err.Error()})
		return
	}
	if added {
		m.host.Recheck()
	}
}

// catchUp fetches and verifies the statements that are missing here, from the first peer that has any. It asks them in
// random order, so that one which stalls or holds back delays it now and then only, and fails if none answers.
func (m *member) catchUp(ctx context.Context, peers []protocol.PeerID) error {
	var last error
	answered := false
	peers = slices.Clone(peers)
	rand.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
	for _, p := range peers {
		if p == m.cfg.Key.ID() {
			continue
		}
		n, err := m.catchUpFrom(ctx, p)
		if err == nil && n > 0 {
			return nil
		}
		if err != nil {
			last = err
		}
		answered = answered || err == nil || n > 0
	}
	if answered {
		return nil
	}
	return last
}

func (m *member) catchUpFrom(ctx context.Context, p protocol.PeerID) (added int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		req, err := protocol.Encode(statementsRequest{From: m.history.length()})
		if err != nil {
			return added, err
		}
		data, err := m.host.Call(ctx, p, callStatements, req, maxStatements)
		if err != nil {
			return added, err
		}
		var resp statementsResponse
		if err := protocol.Decode(data, maxStatements, &resp); err != nil {
			return added, fmt.Errorf("statements from %s: %w", p.Short(), err)
		}
		progress := false
		for i := range resp.List {
			ok, err := m.history.add(&resp.List[i])
			if err != nil {
				return added, fmt.Errorf("statements from %s: %w", p.Short(), err)
			}
			if ok {
				added, progress = added+1, true
			}
		}
		if !progress {
			return added, nil
		}
		m.host.Recheck()
	}
}

// councilPeers returns the aggregators that sign now, or every connected peer before it is known.
func (m *member) councilPeers() []protocol.PeerID {
	council, _ := m.history.rules()
	if council == nil {
		return m.host.Peers()
	}
	ids := make([]protocol.PeerID, 0, len(council.Members))
	for _, a := range council.Members {
		if a.ID != m.cfg.Key.ID() {
			ids = append(ids, a.ID)
		}
	}
	return ids
}
