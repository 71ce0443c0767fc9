package protocol

import (
	"errors"
	"fmt"
)

// ErrControl means that a Control is not one that the founder of the run can have meant.
var ErrControl = errors.New("impossible control")

// Action is what a Control asks for.
type Action uint8

// Actions of a Control. Each takes effect between two rounds: a round under way is finished first.
const (
	ActionPause   Action = 1 // no round opens until ActionResume
	ActionResume  Action = 2
	ActionStop    Action = 3 // the run ends; checks and settlements that are owed follow as at the planned end
	ActionAdd     Action = 4 // an aggregator comes in
	ActionRemove  Action = 5 // an aggregator goes out
	ActionReplace Action = 6 // one goes out and one comes in, in one step
)

// String returns the action's name.
func (a Action) String() string {
	names := [...]string{"unknown", "pause", "resume", "stop", "add", "remove", "replace"}
	if int(a) >= len(names) {
		return names[0]
	}
	return names[a]
}

// Membership reports whether the action changes the aggregator set.
func (a Action) Membership() bool { return a >= ActionAdd && a <= ActionReplace }

// Control is the founder's order to the run, signed with the founder's key and logged.
type Control struct {
	_       struct{} `cbor:",toarray"`
	Run     Digest
	Founder PeerID // that the RunSpec names
	Action  Action
	Nonce   uint64           // rises with each Control of a run, from 1, so that an old one cannot be replayed
	Add     []Signed[Accept] // the newcomer of ActionAdd and ActionReplace, else none
	Remove  []PeerID         // who goes out at ActionRemove and ActionReplace, else none
}

// Accept is an aggregator's consent to be taken into the set of a run, under the entry that it signs.
type Accept struct {
	_          struct{} `cbor:",toarray"`
	Run        Digest
	Aggregator Aggregator
}

func (Control) domain() string { return DomainControl }
func (Accept) domain() string  { return DomainAccept }

func (m Control) signer() PeerID { return m.Founder }
func (m Accept) signer() PeerID  { return m.Aggregator.ID }

// CheckControl checks a Control by itself: of this run, by the founder that the spec names, in form, and signed by the
// founder and the newcomer. Whether it makes sense now is the state machine's to say, and whether the newcomer possesses its
// BLS key the caller's.
func CheckControl(spec *RunSpec, run Digest, s *Signed[Control]) error {
	c := &s.Body
	in, out := 0, 0
	switch c.Action {
	case ActionPause, ActionResume, ActionStop:
	case ActionAdd:
		in = 1
	case ActionRemove:
		out = 1
	case ActionReplace:
		in, out = 1, 1
	default:
		return fmt.Errorf("control: unknown action %d: %w", c.Action, ErrControl)
	}
	switch {
	case c.Run != run:
		return fmt.Errorf("%s of run %s, this is run %s: %w", c.Action, c.Run.Short(), run.Short(), ErrControl)
	case c.Founder != spec.Founder:
		return fmt.Errorf("%s by %s, only the founder %s may: %w", c.Action, c.Founder.Short(), spec.Founder.Short(), ErrControl)
	case len(c.Add) != in || len(c.Remove) != out:
		return fmt.Errorf("%s of %d aggregators in and %d out, want %d and %d: %w", c.Action, len(c.Add), len(c.Remove), in, out, ErrControl)
	}
	for i := range c.Add {
		a := &c.Add[i]
		if a.Body.Run != run {
			return fmt.Errorf("%s: aggregator %s accepted another run, %s: %w", c.Action, a.Body.Aggregator.ID.Short(), a.Body.Run.Short(), ErrControl)
		}
		if err := ascending([]Aggregator{a.Body.Aggregator}); err != nil {
			return fmt.Errorf("%s: %w", c.Action, err)
		}
		if err := a.Verify(); err != nil {
			return fmt.Errorf("%s: %w", c.Action, err)
		}
	}
	return s.Verify()
}
