package models

import (
	"fmt"

	"drystone/internal/exact"

	G "gorgonia.org/gorgonia"
)

// machine runs a graph: a list of steps in a fixed order over memory planned once. It is a G.VM. Unlike Gorgonia's tape
// machine it allocates nothing in RunAll, reuses the memory of dead intermediates, never adds in place over a gradient
// that another node still reads, and turns a panic inside an op into an error.
type machine struct {
	steps  []step
	run    *passes
	device exact.Kernels
	floats int // elements of planned memory
}

// step is one op with its operands, bound for good.
type step struct {
	op   *op
	out  G.Value
	in   []G.Value
	rows Range // see instr
}

var _ G.VM = (*machine)(nil)

// RunAll executes every step once, for the pass that the machine is in.
func (m *machine) RunAll() (err error) {
	i := 0
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("models: running %v: %v", m.steps[i].op, r)
		}
	}()
	last := m.run.last()
	for i = range m.steps {
		s := &m.steps[i]
		switch {
		case s.op.final && !last:
		case s.rows.Len() > 0:
			s.op.part(f32(s.out), s.in, s.rows)
		default:
			if _, err := s.op.UsePreallocDo(s.out, s.in...); err != nil {
				return err
			}
		}
	}
	return nil
}

// finish runs every step and waits for the results.
func (m *machine) finish() error {
	if err := m.RunAll(); err != nil {
		return err
	}
	return m.device.Wait()
}

// Reset does nothing: every run overwrites all it reads.
func (m *machine) Reset() {}

// Close lets go of the planned memory.
func (m *machine) Close() error {
	m.steps = nil
	return nil
}

// compile plans the execution of g, see lower. What fixed does not hold is planned here. With again, layers are computed a
// second time where that saves memory.
func compile(e env, g *graph, fixed map[*G.Node]any, again bool) (*machine, error) {
	code, err := lower(e, g, fixed)
	if err != nil {
		return nil, err
	}
	code = fuseSums(code)
	if again {
		code = recompute(code, g.layers)
	}
	m := &machine{run: e.run, device: e.Kernels, floats: plan(code, e.Floats)}
	for _, c := range code {
		s := step{op: c.op, out: c.out.value(c.out.memory), rows: c.rows}
		for k, v := range c.in {
			s.in = append(s.in, c.op.args[k].value(v.memory))
		}
		m.steps = append(m.steps, s)
	}
	return m, nil
}
