package node

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"drystone/aggregate"
	"drystone/gossip"
	"drystone/protocol"
)

// ErrControl means that the run refused an order of the founder; the line says why.
var ErrControl = errors.New("the run refuses the order")

// ApplicationPrefix begins the line that a newcomer's application is: its signed protocol.Accept in hex follows.
const ApplicationPrefix = "drystone-aggregator:"

// takeControl logs an order of the founder. What the founder did not sign is refused here, before it costs the group
// anything.
func (a *Aggregator) takeControl(ctx context.Context, _ protocol.PeerID, req []byte) ([]byte, error) {
	s, err := protocol.DecodeSigned[protocol.Control](req)
	if err == nil {
		err = protocol.CheckControl(a.spec, a.run, &s)
	}
	if err != nil {
		return nil, gossip.Errorf(gossip.CodeBad, "%v", err)
	}
	return nil, logged(a.propose(ctx, aggregate.ControlRecord(s)))
}

// Control signs an order with the founder's key and returns when it is logged; it takes effect between two rounds. in is
// the consent of who is to be taken in, out who is to go, each where the action asks for it. The nonce is the time in
// milliseconds, so that it needs no aggregator's word: of two orders in one millisecond, or after the clock was set back,
// the later one is refused. Errors: ErrControl if the run refuses it.
func (c *Client) Control(ctx context.Context, founder protocol.Key, action protocol.Action, in []protocol.Signed[protocol.Accept], out []protocol.PeerID) error {
	if founder.ID() != c.spec.Founder {
		return fmt.Errorf("%w: the key is %s, only the founder %s may", ErrControl, founder.ID(), c.spec.Founder)
	}
	s := protocol.Sign(founder, protocol.Control{Run: c.run, Founder: founder.ID(), Action: action, Nonce: uint64(time.Now().UnixMilli()), Add: in, Remove: out})
	if err := protocol.CheckControl(c.spec, c.run, &s); err != nil {
		return fmt.Errorf("%w: %w", ErrControl, err)
	}
	last := errors.New("no aggregator is known")
	for _, p := range c.councilPeers() {
		_, err := c.callFor(ctx, time.Minute, p, callControl, s.Encode(), maxSmall)
		if err == nil {
			return nil
		}
		var remote *gossip.RemoteError
		if errors.As(err, &remote) && remote.Code != gossip.CodeInternal { // the others would answer the same
			return fmt.Errorf("%w: %s", ErrControl, remote.Line)
		}
		last = err
	}
	return fmt.Errorf("%s: %w", action, last)
}

// Application returns the line that a founder needs to take this aggregator in, and "" for one that the statement chain
// names already. Until it is named it reads along once the leader has it, and owes nothing.
func (a *Aggregator) Application() (string, error) {
	if slices.Contains(a.certifiedCouncil(), a.cfg.Key.ID()) {
		return "", nil
	}
	own, err := a.offer()
	if err != nil {
		return "", err
	}
	s := protocol.Sign(a.cfg.Key, protocol.Accept{Run: a.run, Aggregator: own})
	return ApplicationPrefix + hex.EncodeToString(s.Encode()), nil
}
