package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"drystone/aggregate"
	"drystone/gossip"
	"drystone/internal/durable"
	"drystone/protocol"
)

// ErrConvicted means that a contribution of this peer was refuted: it is out for the rest of the run.
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
		if s, err := t.standing(ctx); err == nil && s.Convicted {
			return convicted(s)
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

func convicted(s aggregate.PeerView) error {
	return fmt.Errorf("%w (round %d); what earlier epochs settled stays payable with \"drystone claim\", and \"drystone proof\" gives the evidence", ErrConvicted, s.Refuted)
}

// standing asks the aggregators what the run holds of this peer. A conviction counts if enough of them say so.
func (t *Trainer) standing(ctx context.Context) (aggregate.PeerView, error) {
	var found aggregate.PeerView
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
			if v.ID != t.cfg.Key.ID() {
				continue
			}
			if !v.Convicted {
				return v, nil
			}
			if against++; against >= t.witnesses() {
				return v, nil
			}
		}
		last = errors.New("too few aggregators answer")
	}
	return found, fmt.Errorf("standing in the run: %w", last)
}

// unrostered finds out why an Open came without this peer: it is out, or it was dropped for its absence and joins again,
// or it joined too late for this round.
func (t *Trainer) unrostered(ctx context.Context, round uint32) error {
	s, err := t.standing(ctx)
	switch {
	case err != nil:
		t.cfg.Log.Debug("standing", "err", err)
		return nil // the next round asks again
	case s.Convicted:
		return convicted(s)
	case s.Active:
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
