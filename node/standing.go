package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"drystone/aggregate"
	"drystone/gossip"
	"drystone/internal/durable"
	"drystone/protocol"
)

// ErrConvicted means that a contribution of this peer was refuted, or could not be checked because the peer opened nothing: it is
// out for the rest of the run.
var ErrConvicted = errors.New("a contribution of this peer was refuted, it is out for the rest of the run")

// errRefused means that so many aggregators refuse the same request that an honest one is among them.
var errRefused = errors.New("refused")

// join asks for a place in the roster until an aggregator has logged it, or until so many refuse that it is final.
func (t *Trainer) join(ctx context.Context) error {
	nonce, err := t.nextNonce()
	if err != nil {
		return err
	}
	msg := protocol.Sign(t.cfg.Key, protocol.Join{Run: t.run, Peer: t.cfg.Key.ID(), Payout: t.payout, Nonce: nonce, Shards: t.capacity.Shards}).Encode()
	var final error
	err = retry(ctx, time.Second, func() error {
		refusals, last := 0, errors.New("no aggregator is known")
		for _, p := range t.councilPeers() {
			_, last = t.callFor(ctx, 40*time.Second, p, callJoin, msg, maxSmall)
			if last == nil || ctx.Err() != nil {
				return last
			}
			var no *gossip.RemoteError
			if errors.As(last, &no) && no.Code == gossip.CodeRefused {
				if refusals++; refusals >= t.witnesses() {
					final = fmt.Errorf("%w: %s", errRefused, no.Line)
					return nil
				}
			}
		}
		return last
	})
	if errors.Is(final, errRefused) {
		if s, err := t.standing(ctx); err == nil && s.convicted != nil {
			return s.convicted
		}
	}
	return errors.Join(err, final)
}

// witnesses is how many aggregators must say the same for one of them to be honest: more than may lie.
func (t *Trainer) witnesses() int {
	council, _ := t.history.rules()
	q := council.Quorum()
	return q.Aggregators - q.Threshold + 1
}

// Convicted says why a peer is out, as an aggregator's status tells it, or returns nil: it lied, or it could not be reached, which
// an aggregator cannot tell from hiding a lie. While the run remembers the checks of the round, the error says which.
func (s *Status) Convicted(id protocol.PeerID) error {
	i := slices.IndexFunc(s.View.Peers, func(p aggregate.PeerView) bool { return p.ID == id && p.Convicted })
	if i < 0 {
		return nil
	}
	round, why := s.View.Peers[i].Refuted, ""
	if s.unopened(id, round) {
		why = ": its checks got no opening from it in time. That is how a lie is hidden, so it counts as one; if this machine slept or was offline longer than deadlines.check allows, nobody holds it for a liar, but it is out all the same"
	}
	return fmt.Errorf("%w (round %d)%s; what earlier epochs settled stays payable with \"drystone claim\", and \"drystone proof\" gives the evidence", ErrConvicted, round, why)
}

// Absent says, of a peer that is not convicted, that it was not paid for what it did not open, or returns nothing.
func (s *Status) Absent(id protocol.PeerID) string {
	for _, p := range s.View.Peers {
		if p.ID == id && p.Withheld {
			return fmt.Sprintf("checks of this peer's work from round %d on got no opening in time: that work is not paid. Keep the machine awake and reachable while its checks go on; a second absence puts it out of the run", p.Since)
		}
	}
	return ""
}

// unopened reports whether whoever failed a contribution that was refuted got no opening; false if that is not known any more.
func (s *Status) unopened(id protocol.PeerID, round uint32) bool {
	for _, r := range s.View.Rounds {
		for _, c := range r.Checks {
			if r.Round != round || c.Peer != id {
				continue
			}
			for _, slot := range c.Slots {
				if slot.State == aggregate.SlotRefuted {
					return !slices.ContainsFunc(slot.Verdicts, func(v aggregate.VerdictView) bool {
						return v.Outcome != protocol.Passed && v.Outcome != protocol.Withheld
					})
				}
			}
		}
	}
	return false
}

// standing is what the run holds of this peer.
type standing struct {
	aggregate.PeerView
	convicted error  // why it is out; nil if it is not
	absent    string // what it lost by being unreachable; empty for nothing
}

// standing asks the aggregators what the run holds of this peer. A conviction counts if enough of them say so.
func (t *Trainer) standing(ctx context.Context) (found standing, err error) {
	self := t.cfg.Key.ID()
	last := errors.New("no aggregator is known")
	against := 0
	for _, p := range t.councilPeers() {
		data, err := t.callFor(ctx, 20*time.Second, p, callStatus, nil, maxStatus)
		var s Status
		if err == nil {
			err = json.Unmarshal(data, &s)
		}
		if err != nil {
			last = err
			continue
		}
		for _, v := range s.View.Peers {
			if v.ID != self {
				continue
			}
			found = standing{PeerView: v, convicted: s.Convicted(self), absent: s.Absent(self)}
			if !v.Convicted {
				return found, nil
			}
			if against++; against >= t.witnesses() {
				return found, nil
			}
		}
		last = errors.New("too few aggregators answer")
	}
	return standing{}, fmt.Errorf("standing in the run: %w", last)
}

// unrostered finds out why an Open came without this peer: it is out, or it was dropped for its absence and joins again,
// or it joined too late for this round.
func (t *Trainer) unrostered(ctx context.Context, round uint32) error {
	s, err := t.standing(ctx)
	switch {
	case err != nil:
		t.cfg.Log.Debug("standing", "err", err)
		return nil // the next round asks again
	case s.convicted != nil:
		return s.convicted
	}
	if s.absent != "" && s.absent != t.absent {
		t.absent = s.absent
		t.emit(Event{Kind: EventWarning, Round: round, Peer: t.cfg.Key.ID(), Text: s.absent})
	}
	if s.Active {
		return nil
	}
	t.emit(Event{Kind: EventWaiting, Round: round, Peer: t.cfg.Key.ID(), Text: "this peer was dropped from the roster; joining again"})
	return t.join(ctx)
}

// nextNonce returns a number above every one that this directory has used.
func (t *Trainer) nextNonce() (uint64, error) {
	path := t.path("nonce.json")
	var nonce uint64
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &nonce)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("%s is damaged: %w", path, err)
	}
	nonce = max(nonce+1, uint64(time.Now().UnixMilli()))
	if data, err = json.Marshal(nonce); err != nil {
		return 0, err
	}
	return nonce, durable.WriteFile(path, data, 0o600)
}
