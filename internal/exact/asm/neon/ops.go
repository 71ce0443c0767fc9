package main

import "fmt"

// vreg is one of V0 to V31; greg is one of R0 to R25.
type (
	vreg int
	greg int
)

func (v vreg) String() string { return fmt.Sprintf("V%d", int(v)) }
func (r greg) String() string { return fmt.Sprintf("R%d", int(r)) }

// f is the name of v in loads and stores.
func (v vreg) f() string { return fmt.Sprintf("F%d", int(v)) }

// op is a vector operation on all lanes: Go's mnemonic and arrangement if Go's
// assembler has it, otherwise its word with all registers 0.
type op struct {
	word        uint32
	native, arr string
}

// Operations with registers d, n, m.
var ops3 = map[string]op{
	"fadd":   {word: 0x4e20d400},
	"fsub":   {word: 0x4ea0d400},
	"fmul":   {word: 0x6e20dc00},
	"fdiv":   {word: 0x6e20fc00},
	"fmaxnm": {word: 0x4e20c400}, // the larger; a quiet NaN loses
	"fminnm": {word: 0x4ea0c400}, // the smaller
	"fcmeq":  {word: 0x4e20e400},
	"fcmge":  {word: 0x6e20e400},
	"fcmgt":  {word: 0x6ea0e400},
	"cmge":   {word: 0x4ea03c00}, // n >= m as int32
	"bic":    {word: 0x4e601c00}, // d = n and not m
	"fmla":   {native: "VFMLA", arr: "S4"},
	"fmls":   {native: "VFMLS", arr: "S4"}, // d = fma(-n, m, d)
	"add":    {native: "VADD", arr: "S4"},
	"and":    {native: "VAND", arr: "B16"},
	"eor":    {native: "VEOR", arr: "B16"},
	"bit":    {native: "VBIT", arr: "B16"}, // d = n where m
	"bif":    {native: "VBIF", arr: "B16"}, // d = n where not m
	"trn1s":  {native: "VTRN1", arr: "S4"},
	"trn2s":  {native: "VTRN2", arr: "S4"},
	"trn1d":  {native: "VTRN1", arr: "D2"},
	"trn2d":  {native: "VTRN2", arr: "D2"},
}

// Operations with registers d, n.
var ops2 = map[string]op{
	"fabs":  {word: 0x4ea0f800},
	"fneg":  {word: 0x6ea0f800},
	"fsqrt": {word: 0x6ea1f800},
}

// encode3 returns the word of an operation of ops3.
func encode3(o op, d, n, m vreg) uint32 { return o.word | uint32(m)<<16 | uint32(n)<<5 | uint32(d) }

// encode2 returns the word of an operation of ops2.
func encode2(o op, d, n vreg) uint32 { return o.word | uint32(n)<<5 | uint32(d) }

// encodeElement returns the word of fmla d.4s, n.4s, m.s[lane].
func encodeElement(d, n, m vreg, lane int) uint32 {
	h, l := uint32(lane>>1), uint32(lane&1)
	return 0x4f801000 | l<<21 | uint32(m)<<16 | h<<11 | uint32(n)<<5 | uint32(d)
}

// encodeMax returns the word of fmaxnmv d, n.4s.
func encodeMax(d, n vreg) uint32 { return 0x6e30c800 | uint32(n)<<5 | uint32(d) }

// do emits an operation on registers d, n and m.
func (k *kernel) do(name string, d, n, m vreg) {
	o, ok := ops3[name]
	switch {
	case !ok:
		panic("no operation " + name)
	case o.native != "":
		k.line("%s %s.%s, %s.%s, %s.%s", o.native, m, o.arr, n, o.arr, d, o.arr)
	default:
		arr := "4s"
		if name == "bic" {
			arr = "16b"
		}
		k.word(encode3(o, d, n, m), "%s v%d.%s, v%d.%s, v%d.%s", name, d, arr, n, arr, m, arr)
	}
}

// do2 emits an operation on registers d and n.
func (k *kernel) do2(name string, d, n vreg) {
	o, ok := ops2[name]
	if !ok {
		panic("no operation " + name)
	}
	k.word(encode2(o, d, n), "%s v%d.4s, v%d.4s", name, d, n)
}

// fmaElement emits d = fma(n, one lane of m, d).
func (k *kernel) fmaElement(d, n, m vreg, lane int) {
	k.word(encodeElement(d, n, m, lane), "fmla v%d.4s, v%d.4s, v%d.s[%d]", d, n, m, lane)
}

func (k *kernel) word(w uint32, format string, args ...any) {
	k.line("WORD $0x%08x // %s", w, fmt.Sprintf(format, args...))
}

func (k *kernel) move(d, n vreg)    { k.line("VMOV %s.B16, %s.B16", n, d) }
func (k *kernel) zero(d vreg)       { k.do("eor", d, d, d) }
func (k *kernel) shl23(d, n vreg)   { k.line("VSHL $23, %s.S4, %s.S4", n, d) }
func (k *kernel) dup(d vreg, r any) { k.line("VDUP %v, %s.S4", r, d) }

// Loads and stores of one and of two registers.
func (k *kernel) ld(d vreg, p greg, off int) { k.line("FMOVQ %d(%s), %s", off, p, d.f()) }
func (k *kernel) st(d vreg, p greg, off int) { k.line("FMOVQ %s, %d(%s)", d.f(), off, p) }
func (k *kernel) ld2(d, e vreg, p greg, off int) {
	k.line("FLDPQ %d(%s), (%s, %s)", off, p, d.f(), e.f())
}
func (k *kernel) st2(d, e vreg, p greg, off int) {
	k.line("FSTPQ (%s, %s), %d(%s)", d.f(), e.f(), off, p)
}
func (k *kernel) addTo(p greg, what any) { k.line("ADD %v, %s", what, p) }
func (k *kernel) elements(rs ...greg)    { k.each1(rs, "LSL $2, %s") } // strides to bytes
func (k *kernel) each1(rs []greg, format string) {
	for _, r := range rs {
		k.line(format, r)
	}
}
