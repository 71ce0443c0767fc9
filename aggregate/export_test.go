package aggregate

// Transitions is the table that enter obeys.
func Transitions(from Phase) []Phase { return transitions[from] }

// Enter is what every change of the phase goes through.
func (m *Machine) Enter(from, to Phase) Phase {
	m.s.Phase = from
	m.enter(to)
	return m.s.Phase
}
