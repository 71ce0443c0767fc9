package node

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"drystone/aggregate"
	"drystone/aggregate/replica"
	"drystone/gossip"
	"drystone/protocol"
)

// A process that the council does not have, or not yet, reads along: it has the Raft log without a vote. It says so to
// every aggregator again and again, with its application, so that whoever leads admits it; one that is not heard of for a
// while goes. When the founder has the council take it in, it is up to date already.

const (
	observeEvery = 15 * time.Second
	observeFor   = time.Minute
	maxAddrs     = 16 // of an aggregator
)

// observers are those who want to read along, as this aggregator heard of them: at most replica.MaxObservers.
type observers struct {
	mu    sync.Mutex
	heard map[protocol.PeerID]time.Time
}

// add notes an observer; false if there is no place.
func (o *observers) add(id protocol.PeerID, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.expire(now)
	if _, known := o.heard[id]; !known && len(o.heard) >= replica.MaxObservers {
		return false
	}
	if o.heard == nil {
		o.heard = map[protocol.PeerID]time.Time{}
	}
	o.heard[id] = now
	return true
}

// list returns the observers, ascending.
func (o *observers) list(now time.Time) []protocol.PeerID {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.expire(now)
	ids := make([]protocol.PeerID, 0, len(o.heard))
	for id := range o.heard {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(x, y protocol.PeerID) int { return bytes.Compare(x[:], y[:]) })
	return ids
}

func (o *observers) expire(now time.Time) {
	for id, at := range o.heard {
		if now.Sub(at) > observeFor {
			delete(o.heard, id)
		}
	}
}

// mayObserve returns who may read along: before all others the one whom the founder has called in.
func (a *Aggregator) mayObserve() []protocol.PeerID {
	ids := a.observers.list(time.Now())
	select {
	case <-a.ready:
	default:
		return ids
	}
	a.replica.Read(func(m *aggregate.Machine) {
		if id, ok := m.Newcomer(); ok && !slices.Contains(ids, id) {
			ids = slices.Insert(ids, 0, id)
		}
	})
	return ids
}

// serveObserve admits observers.
func (a *Aggregator) serveObserve() {
	a.host.Handle(callObserve, maxSmall, func(_ context.Context, from protocol.PeerID, req []byte) ([]byte, error) {
		s, err := protocol.DecodeSigned[protocol.Accept](req)
		if err == nil && (s.Body.Run != a.run || s.Body.Aggregator.ID != from) {
			err = fmt.Errorf("an application names this run and its sender")
		}
		if err == nil {
			err = checkApplication(&s)
		}
		if err != nil {
			return nil, gossip.Errorf(gossip.CodeBad, "%v", err)
		}
		if !a.observers.add(from, time.Now()) {
			return nil, gossip.Errorf(gossip.CodeBusy, "%d observers read along already", replica.MaxObservers)
		}
		return nil, nil
	})
}

// applies returns this aggregator's signed application.
func (a *Aggregator) applies() (protocol.Signed[protocol.Accept], error) {
	own, err := a.offer()
	if err != nil {
		return protocol.Signed[protocol.Accept]{}, err
	}
	return protocol.Sign(a.cfg.Key, protocol.Accept{Run: a.run, Aggregator: own}), nil
}

// observe asks to read along while the council does not have this process, and tells when it is taken in.
func (a *Aggregator) observe(ctx context.Context) {
	outside := false
	var asked time.Time
	for {
		council, _ := a.history.rules()
		_, member := council.Member(a.cfg.Key.ID())
		switch {
		case member && outside:
			a.emit(Event{Kind: EventCouncil, Peer: a.cfg.Key.ID(), Text: "the council has taken this aggregator in; taking part"})
		case !member && !outside:
			a.sayOutside()
		}
		outside = !member
		if outside && time.Since(asked) >= observeEvery {
			a.askToObserve(ctx, council)
			asked = time.Now()
		}
		if !waitFor(ctx, pollEvery) {
			return
		}
	}
}

func (a *Aggregator) sayOutside() {
	s, err := a.applies()
	if err != nil {
		a.warn(0, err)
		return
	}
	a.emit(Event{Kind: EventOutside, Peer: a.cfg.Key.ID(), Application: Application(s),
		Text: "not of the council: reading along. To take this aggregator in, the founder runs \"drystone aggregators add\" with its application"})
}

func (a *Aggregator) askToObserve(ctx context.Context, council *protocol.Council) {
	s, err := a.applies()
	if err != nil {
		a.warn(0, err)
		return
	}
	for _, m := range council.Members {
		if _, err := a.callFor(ctx, 10*time.Second, m.ID, callObserve, s.Encode(), maxSmall); err != nil && ctx.Err() == nil {
			a.cfg.Log.Debug("ask to observe", "aggregator", m.ID.Short(), "err", err)
		}
	}
}
