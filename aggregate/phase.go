package aggregate

import "slices"

// Phase is where the run is in its current round, or between two rounds.
type Phase uint8

// Phases, in the order of a run.
const (
	PhaseNew       Phase = 0  // no Genesis yet
	PhaseWaiting   Phase = 1  // for peers, for the checks of an earlier round, or for what a change of the council waits for
	PhasePaused    Phase = 2  // by the founder
	PhaseChanging  Phase = 3  // the Council is being signed
	PhaseOpening   Phase = 4  // the Open is being signed
	PhaseTrain     Phase = 5  // commits come in
	PhaseFreezing  Phase = 6  // the Freeze is being signed
	PhaseReveal    Phase = 7  // attests come in
	PhaseRevealing Phase = 8  // the RevealSet is being signed
	PhaseMerge     Phase = 9  // Certificates come in
	PhaseEnding    Phase = 10 // the End is being signed
	PhaseDraining  Phase = 11 // after the last round: checks and settlements
	PhaseFinished  Phase = 12
)

var phaseNames = [...]string{"new", "waiting", "paused", "changing", "opening", "train", "freezing", "reveal", "revealing", "merge",
	"ending", "draining", "finished"}

// String returns the phase's name.
func (p Phase) String() string {
	if int(p) >= len(phaseNames) {
		return "unknown"
	}
	return phaseNames[p]
}

// transitions are all there are: enter makes no other. docs/protocol.md draws them, and a test compares the two.
var transitions = [...][]Phase{
	PhaseNew:       {PhaseWaiting},
	PhaseWaiting:   {PhasePaused, PhaseChanging, PhaseOpening, PhaseEnding},
	PhasePaused:    {PhaseWaiting, PhaseChanging, PhaseEnding},
	PhaseChanging:  {PhaseWaiting},
	PhaseOpening:   {PhaseTrain},
	PhaseTrain:     {PhaseFreezing},
	PhaseFreezing:  {PhaseReveal},
	PhaseReveal:    {PhaseRevealing},
	PhaseRevealing: {PhaseMerge},
	PhaseMerge:     {PhaseWaiting, PhaseDraining},
	PhaseEnding:    {PhaseDraining},
	PhaseDraining:  {PhaseFinished},
	PhaseFinished:  {},
}

// enter starts a phase; its timer starts with the next Tick. What transitions does not list does not happen, and the
// phase stays.
func (m *Machine) enter(p Phase) {
	if slices.Contains(transitions[m.s.Phase], p) {
		m.s.Phase, m.s.Since, m.s.Extended = p, 0, false
		m.fx.Entered = append(m.fx.Entered, p)
	}
}
