package trainer

import (
	"errors"
	"fmt"

	"drystone/protocol"
)

// State is where an inner optimisation stands after Step steps of its round: all parameters in the order of
// models.Layout, and the AdamW moments of those in the assigned shards, one shard after the other.
type State struct {
	Step  uint32
	Theta []float32
	M, V  []float32 // at step 0 nil stands for zeros
}

// StartState is the public start of a round: theta_r with moments zero, which are nil. It shares theta's memory.
func StartState(theta []float32) State { return State{Theta: theta} }

// OpenedState decodes the state at which an opening starts, for a model of params parameters of which the assignment
// trains so many. The error wraps ErrMalformed. That it is the committed one shows when its Trace equals o.From.
func OpenedState(o *protocol.Opening, params, trained int) (State, error) {
	theta, err1 := parseFloats("opened theta", o.Theta, params)
	m, err2 := parseFloats("opened m", o.M, trained)
	v, err3 := parseFloats("opened v", o.V, trained)
	return State{o.From.Step, theta, m, v}, errors.Join(err1, err2, err3)
}

// Trace returns the state's leaf in the trace.
func (s State) Trace() protocol.TraceState {
	return protocol.TraceState{Step: s.Step, Theta: Root(s.Theta), M: Root(s.M), V: Root(s.V)}
}

// check returns ErrDiverged unless every value is finite.
func (s State) check() error {
	if err := errors.Join(finite("theta", s.Theta), finite("m", s.M), finite("v", s.V)); err != nil {
		return fmt.Errorf("after step %d: %w", s.Step, err)
	}
	return nil
}
