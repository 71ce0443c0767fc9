package node

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"drystone/aggregate"
	"drystone/gossip"
	"drystone/protocol"
	"drystone/verify"
)

// The founder's orders reach a run through any aggregator, which logs what the founder signed and nothing else.

// serveControl logs the founder's orders.
func (a *Aggregator) serveControl() {
	a.host.Handle(callControl, maxSmall, func(ctx context.Context, _ protocol.PeerID, req []byte) ([]byte, error) {
		s, err := protocol.DecodeSigned[protocol.Control](req)
		if err == nil {
			err = protocol.CheckControl(a.spec, a.run, &s)
		}
		if err != nil {
			return nil, gossip.Errorf(gossip.CodeBad, "%v", err)
		}
		return nil, logged(a.propose(ctx, aggregate.ControlRecord(s)))
	})
}

// ErrNotFounder means that an order was signed with another key than that of the run's founder.
var ErrNotFounder = errors.New("only the founder of a run gives it orders")

// Order signs an order with the founder's key and returns once so many aggregators say that it is logged that an honest one is
// among them. add is the newcomer of
// ActionAdd and ActionReplace, else nil; remove the one who goes at ActionRemove and ActionReplace, else the zero ID. A
// refusal, which needs as many, comes back as it is. The nonce is the time in milliseconds, so that
// no aggregator's word decides it: after the clock was set back an order is refused.
func (c *Client) Order(ctx context.Context, founder protocol.Key, action protocol.Action, add *protocol.Signed[protocol.Accept], remove protocol.PeerID) (*protocol.Control, error) {
	if founder.ID() != c.spec.Founder {
		return nil, fmt.Errorf("the key is %s, the founder of run %s is %s: %w", founder.ID(), c.run.Short(), c.spec.Founder, ErrNotFounder)
	}
	order := protocol.Control{Run: c.run, Founder: founder.ID(), Action: action, Nonce: uint64(time.Now().UnixMilli()),
		Add: []protocol.Signed[protocol.Accept]{}, Remove: []protocol.PeerID{}}
	if add != nil {
		order.Add = append(order.Add, *add)
	}
	if remove != (protocol.PeerID{}) {
		order.Remove = append(order.Remove, remove)
	}
	signed := protocol.Sign(founder, order)
	if err := protocol.CheckControl(c.spec, c.run, &signed); err != nil {
		return nil, err
	}
	council := c.Council()
	need := len(council.Members) - council.Threshold + 1
	taken, refused, last := 0, 0, errors.New("no aggregator is known")
	for _, p := range c.councilPeers() {
		_, err := c.callFor(ctx, time.Minute, p, callControl, signed.Encode(), maxSmall)
		var no *gossip.RemoteError
		switch {
		case err == nil:
			taken++
		case errors.As(err, &no) && no.Code != gossip.CodeInternal:
			refused, last = refused+1, err
		case refused == 0:
			last = err
		}
		if taken >= need {
			return &order, nil
		}
		if refused >= need {
			return nil, fmt.Errorf("%s: %w", action, last)
		}
	}
	return nil, fmt.Errorf("%s: %d aggregators say that it is logged and %d refuse it, one of %d may lie: look at the status and try again: %w", action, taken, refused, need, last)
}

// applicationPrefix begins the text form of an application.
const applicationPrefix = "drystone-aggregator:"

// Application is an aggregator's signed consent to be taken into a run's council, as text for the founder.
func Application(s protocol.Signed[protocol.Accept]) string {
	return applicationPrefix + base64.RawURLEncoding.EncodeToString(s.Encode())
}

// ParseApplication reads what Application wrote and checks both signatures in it.
func ParseApplication(text string) (*protocol.Signed[protocol.Accept], error) {
	code, ok := strings.CutPrefix(strings.TrimSpace(text), applicationPrefix)
	if !ok || len(code) > 2*maxSmall {
		return nil, fmt.Errorf("no application: it is one line that begins with %q", applicationPrefix)
	}
	data, err := base64.RawURLEncoding.DecodeString(code)
	if err != nil {
		return nil, fmt.Errorf("application: %w", err)
	}
	s, err := protocol.DecodeSigned[protocol.Accept](data)
	if err == nil {
		err = checkApplication(&s)
	}
	if err != nil {
		return nil, fmt.Errorf("application: %w", err)
	}
	return &s, nil
}

func checkApplication(s *protocol.Signed[protocol.Accept]) error {
	if n := len(s.Body.Aggregator.Addrs); n == 0 || n > maxAddrs {
		return fmt.Errorf("%d addresses, want 1 to %d", n, maxAddrs)
	}
	if err := s.Verify(); err != nil {
		return err
	}
	if err := verify.VerifyPossession(s.Body.Aggregator.BLS, s.Body.Aggregator.Proof); err != nil {
		return fmt.Errorf("BLS key: %w", err)
	}
	return nil
}
