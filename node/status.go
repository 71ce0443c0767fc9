package node

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"drystone/aggregate"
	"drystone/protocol"
)

// Status is what an aggregator tells anyone who asks.
type Status struct {
	Run     protocol.Digest   `json:"run_id"`
	Name    string            `json:"name"`
	Rounds  uint32            `json:"rounds"`
	Leader  *protocol.PeerID  `json:"leader,omitempty"`
	Teller  protocol.PeerID   `json:"teller"`           // the aggregator whose word this is
	InPhase float64           `json:"seconds_in_phase"` // by its clock; 0 if it did not see the phase begin
	Timings []RoundTiming     `json:"timings"`          // of the latest rounds, ascending
	Peers   []PeerState       `json:"peers"`            // ascending by ID
	Up      []protocol.PeerID `json:"aggregators_up"`   // itself, and those that it is connected to
	View    aggregate.View    `json:"state"`
	Network Network           `json:"network"`
	// Returned says that the run is over and what it did not earn is back at the sponsor's, as far as the teller has heard.
	Returned bool `json:"rest_returned"`
}

// PeerState is where a peer is in the newest round.
type PeerState struct {
	ID     protocol.PeerID `json:"peer"`
	State  string          `json:"state"`  // training, committed, revealed, checked, missed, waiting, away, convicted
	Shards uint32          `json:"shards"` // that it trains each round; 0 for all
	Tokens uint64          `json:"tokens"`
	Rounds uint32          `json:"rounds"`
}

func (a *Aggregator) status() ([]byte, error) {
	s := Status{Run: a.run, Name: a.spec.Name, Rounds: a.spec.Train.Rounds, Teller: a.cfg.Key.ID(), View: a.view(), Network: a.network(), Returned: a.refund.closed()}
	if id, ok := a.replica.Leader(); ok {
		s.Leader = &id
	}
	s.InPhase, s.Timings = a.timings.read(time.Now())
	s.Peers = peerStates(&s.View)
	connected := a.host.Peers()
	for _, x := range s.View.Aggregators {
		if x.ID == s.Teller || slices.Contains(connected, x.ID) {
			s.Up = append(s.Up, x.ID)
		}
	}
	return json.Marshal(s)
}

// peerStates says where everyone who ever joined stands.
func peerStates(v *aggregate.View) []PeerState {
	var newest *aggregate.RoundView
	if n := len(v.Rounds); n > 0 {
		newest = &v.Rounds[n-1]
	}
	states := make([]PeerState, 0, len(v.Peers))
	for _, p := range v.Peers {
		states = append(states, PeerState{ID: p.ID, State: stateOf(&p, newest), Shards: p.Shards, Tokens: p.Tokens, Rounds: p.Rounds})
	}
	return states
}

func stateOf(p *aggregate.PeerView, r *aggregate.RoundView) string {
	if p.Convicted {
		return "convicted"
	}
	if r == nil || !slices.Contains(r.Roster, p.ID) {
		if p.Active {
			return "waiting"
		}
		return "away"
	}
	for _, c := range r.Checks {
		switch {
		case c.Peer != p.ID:
		case c.Settled:
			return "checked"
		default:
			return "revealed"
		}
	}
	committed := slices.ContainsFunc(r.Commits, func(c protocol.Signed[protocol.Commit]) bool { return c.Body.Peer == p.ID })
	over := func(k protocol.Kind) bool {
		return slices.ContainsFunc(r.Statements, func(s protocol.SignedStatement) bool { return s.Statement.Kind == k })
	}
	switch {
	case over(protocol.KindRevealSet), over(protocol.KindFreeze) && !committed:
		return "missed"
	case committed:
		return "committed"
	}
	return "training"
}

// Status asks an aggregator how the run stands. It is that aggregator's word.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	data, err := c.ask(ctx, callStatus, nil, maxStatus)
	if err != nil {
		return nil, err
	}
	var s Status
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	return &s, nil
}

// Refresh verifies what the statement chain has gained.
func (c *Client) Refresh(ctx context.Context) error { return c.catchUp(ctx, c.councilPeers()) }

// Council returns the aggregators as the verified statement chain has them now.
func (c *Client) Council() *protocol.Council {
	council, _ := c.history.rules()
	return council
}
