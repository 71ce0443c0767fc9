package ptxsim

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Module is a PTX file.
type Module struct {
	kernels map[string]*kernel
	shared  map[string]uint64 // offsets of variables of the whole file
	size    uint64            // of them
}

// Kernels names the entry points, in alphabetical order.
func (m *Module) Kernels() []string { return slices.Sorted(maps.Keys(m.kernels)) }

// kernel is one entry point.
type kernel struct {
	name    string
	params  []string // types, such as u64
	code    []instr
	slots   int      // registers, constants, parameters and special registers of a thread
	start   []uint64 // what the slots hold when a thread starts, but for parameters and special registers
	param   []int    // slots of parameters
	special []special
	shared  uint64 // bytes of shared memory
}

// special is a special register that the kernel reads.
type special struct {
	slot, axis int
	of         string // tid, ntid, ctaid or nctaid
}

type operation int

const (
	opCompute operation = iota
	opCompare
	opLoad
	opStore
	opBranch
	opBarrier
	opReturn
)

// instr is one instruction. Operands are slots.
type instr struct {
	op      operation
	guard   int // slot of a predicate, -1 for none
	negate  bool
	dst     int
	src     [3]int
	compute func(a, b, c uint64) uint64
	compare func(a, b uint64) bool
	shared  bool   // the space of a load or store; src[0] is the address
	offset  uint64 // added to it
	size    int    // bytes of an element, of which there is one for each slot in more
	more    []int  // what is loaded or stored
	target  int    // of a branch: an instruction
	label   string
	text    string
}

// Parse reads PTX as clang writes it: a line for each instruction. The error names the line.
func Parse(text string) (*Module, error) {
	m := &Module{kernels: map[string]*kernel{}, shared: map[string]uint64{}}
	var p *parser
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "//")
		line = strings.TrimSpace(line)
		var err error
		switch {
		case line == "" || line == "{" || line == "(":
		case strings.HasPrefix(line, ".visible .entry "):
			name := strings.TrimSuffix(strings.TrimPrefix(line, ".visible .entry "), "(")
			p = newParser(m, strings.TrimSpace(name))
		case line == "}":
			if p == nil {
				err = fmt.Errorf("end of nothing")
				break
			}
			if err = p.finish(); err == nil {
				m.kernels[p.k.name] = p.k
			}
			p = nil
		case p != nil:
			err = p.line(line)
		default:
			err = m.line(line)
		}
		if err != nil {
			return nil, fmt.Errorf("ptx line %d: %q: %w", i+1, line, err)
		}
	}
	return m, nil
}

// line takes a line outside of kernels.
func (m *Module) line(line string) error {
	for _, known := range []string{".version ", ".target ", ".address_size "} {
		if strings.HasPrefix(line, known) {
			return nil
		}
	}
	v := sharedVariable.FindStringSubmatch(line)
	if v == nil {
		return fmt.Errorf("unknown directive")
	}
	return place(v, m.shared, &m.size)
}

var sharedVariable = regexp.MustCompile(`^\.shared \.align (\d+) \.b8 (\S+)\[(\d+)\];$`)

// place gives a shared variable its offset.
func place(v []string, at map[string]uint64, size *uint64) error {
	align, err1 := strconv.ParseUint(v[1], 10, 16)
	length, err2 := strconv.ParseUint(v[3], 10, 32)
	if err1 != nil || err2 != nil || align == 0 {
		return fmt.Errorf("bad size")
	}
	*size = (*size + align - 1) / align * align
	at[v[2]] = *size
	*size += length
	return nil
}

// parser reads one kernel.
type parser struct {
	m      *Module
	k      *kernel
	slots  map[string]int
	shared map[string]uint64
	labels map[string]int
}

func newParser(m *Module, name string) *parser {
	return &parser{m, &kernel{name: name, shared: m.size}, map[string]int{}, maps.Clone(m.shared), map[string]int{}}
}

var (
	paramLine = regexp.MustCompile(`^\.param \.(\w+) (\w+),?$`)
	labelLine = regexp.MustCompile(`^(\$\w+):$`)
	codeLine  = regexp.MustCompile(`^(?:@(!?)(%p\d+)\s+)?([a-z][a-z0-9_.]*)(?:\s+(.*))?;$`)
	address   = regexp.MustCompile(`^\[([%$\w]+)(?:\+(-?\d+))?\]$`)
)

func (p *parser) line(line string) error {
	if m := paramLine.FindStringSubmatch(line); m != nil {
		p.k.params = append(p.k.params, m[1])
		p.k.param = append(p.k.param, p.slot(m[2]))
		return nil
	}
	if m := labelLine.FindStringSubmatch(line); m != nil {
		p.labels[m[1]] = len(p.k.code)
		return nil
	}
	if m := sharedVariable.FindStringSubmatch(line); m != nil {
		return place(m, p.shared, &p.k.shared)
	}
	for _, known := range []string{")", ".reg ", ".maxntid ", ".minnctapersm ", ".pragma "} {
		if strings.HasPrefix(line, known) {
			return nil
		}
	}
	m := codeLine.FindStringSubmatch(line)
	if m == nil {
		return fmt.Errorf("unknown directive")
	}
	in := instr{guard: -1, negate: m[1] == "!", text: line}
	if m[2] != "" {
		in.guard = p.slot(m[2])
	}
	if err := p.instruction(&in, m[3], strings.TrimSpace(m[4])); err != nil {
		return err
	}
	p.k.code = append(p.k.code, in)
	return nil
}

func (p *parser) instruction(in *instr, name, operands string) error {
	switch {
	case name == "ret":
		in.op = opReturn
		return nil
	case name == "bar.sync":
		in.op = opBarrier
		return nil
	case name == "bra" || name == "bra.uni":
		in.op, in.label = opBranch, operands
		return nil
	case strings.HasPrefix(name, "ld.param."):
		return p.compute(in, move, strings.Replace(strings.Replace(operands, "[", "", 1), "]", "", 1))
	case strings.HasPrefix(name, "ld."):
		return p.access(in, opLoad, name, operands)
	case strings.HasPrefix(name, "st."):
		return p.access(in, opStore, name, operands)
	case strings.HasPrefix(name, "setp."):
		f, ok := compare[strings.TrimPrefix(name, "setp.")]
		if !ok {
			return fmt.Errorf("unknown comparison")
		}
		in.compare = f
		err := p.compute(in, nil, operands)
		in.op = opCompare
		return err
	}
	f, ok := alu[name]
	if !ok {
		return fmt.Errorf("unknown instruction")
	}
	return p.compute(in, f, operands)
}

// compute takes the operands of an instruction that only computes.
func (p *parser) compute(in *instr, f func(a, b, c uint64) uint64, operands string) error {
	in.op, in.compute = opCompute, f
	parts := strings.Split(operands, ",")
	if len(parts) < 2 || len(parts) > 4 {
		return fmt.Errorf("%d operands", len(parts))
	}
	for i, x := range parts {
		s, err := p.operand(strings.TrimSpace(x))
		if err != nil {
			return err
		}
		if i == 0 {
			in.dst = s
		} else {
			in.src[i-1] = s
		}
	}
	return nil
}

var sizes = map[string]int{"f32": 4, "u32": 4, "s32": 4, "b32": 4, "u64": 8, "s64": 8, "b64": 8, "u8": 1}

// access takes a load or store, of one element or of a vector.
func (p *parser) access(in *instr, op operation, name, operands string) error {
	parts := strings.Split(name, ".")
	in.op, in.shared = op, parts[1] == "shared"
	if parts[1] != "shared" && parts[1] != "global" {
		return fmt.Errorf("unknown space")
	}
	size, ok := sizes[parts[len(parts)-1]]
	if !ok || len(parts) > 4 {
		return fmt.Errorf("unknown type")
	}
	in.size = size
	var at, registers string
	if op == opLoad {
		i := strings.LastIndex(operands, ",")
		registers, at = strings.TrimSpace(operands[:max(i, 0)]), strings.TrimSpace(operands[i+1:])
	} else {
		at, registers, _ = strings.Cut(operands, ",")
		registers = strings.TrimSpace(registers)
	}
	if len(parts) == 4 {
		if parts[2] != "v2" && parts[2] != "v4" {
			return fmt.Errorf("unknown vector")
		}
		registers = strings.Trim(registers, "{}")
	}
	for _, r := range strings.Split(registers, ",") {
		s, err := p.operand(strings.TrimSpace(r))
		if err != nil {
			return err
		}
		in.more = append(in.more, s)
	}
	m := address.FindStringSubmatch(at)
	if m == nil {
		return fmt.Errorf("unknown address")
	}
	s, err := p.operand(m[1])
	if err != nil {
		return err
	}
	in.src[0] = s
	if m[2] != "" {
		offset, err := strconv.ParseInt(m[2], 10, 64)
		if err != nil {
			return err
		}
		in.offset = uint64(offset)
	}
	return nil
}

// operand returns the slot of a register, a constant, a parameter, a special register or the address of a variable.
func (p *parser) operand(text string) (int, error) {
	if s, ok := p.slots[text]; ok {
		return s, nil
	}
	if at, ok := p.shared[text]; ok {
		return p.constant(text, at), nil
	}
	switch {
	case strings.HasPrefix(text, "0f"):
		bits, err := strconv.ParseUint(text[2:], 16, 32)
		return p.constant(text, bits), err
	case strings.HasPrefix(text, "%tid.") || strings.HasPrefix(text, "%ntid.") || strings.HasPrefix(text, "%ctaid.") || strings.HasPrefix(text, "%nctaid."):
		s := p.slot(text)
		p.k.special = append(p.k.special, special{s, int(text[len(text)-1] - 'x'), text[1 : len(text)-2]})
		return s, nil
	case strings.HasPrefix(text, "%"):
		return p.slot(text), nil
	}
	if n, err := strconv.ParseInt(text, 0, 64); err == nil {
		return p.constant(text, uint64(n)), nil
	}
	n, err := strconv.ParseUint(text, 0, 64)
	if err != nil {
		return 0, fmt.Errorf("unknown operand %q", text)
	}
	return p.constant(text, n), nil
}

func (p *parser) constant(text string, v uint64) int {
	s := p.slot(text)
	p.k.start[s] = v
	return s
}

// slot returns the slot of a name, a new one the first time.
func (p *parser) slot(name string) int {
	if s, ok := p.slots[name]; ok {
		return s
	}
	s := len(p.k.start)
	p.slots[name] = s
	p.k.start = append(p.k.start, 0)
	return s
}

// finish resolves branches.
func (p *parser) finish() error {
	for i := range p.k.code {
		in := &p.k.code[i]
		if in.op != opBranch {
			continue
		}
		at, ok := p.labels[in.label]
		if !ok {
			return fmt.Errorf("no label %s", in.label)
		}
		in.target = at
	}
	if n := len(p.k.code); n == 0 || p.k.code[n-1].op != opReturn && p.k.code[n-1].op != opBranch {
		return fmt.Errorf("%s does not end", p.k.name)
	}
	p.k.slots = len(p.k.start)
	return nil
}
