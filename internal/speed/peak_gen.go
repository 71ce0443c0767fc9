//go:build ignore

// Generates the loops that find out how many fused multiply-adds a core does when it does nothing else.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64")
	peak("avx2Peak", 12, func() VecVirtual { return YMM() }) // of 16 registers
	peak("avx512Peak", 24, func() VecVirtual { return ZMM() })
	Generate()
}

// peak emits n rounds of one fused multiply-add on each of acc registers: enough that none waits for another.
func peak(name string, acc int, vec func() VecVirtual) {
	TEXT(name, NOSPLIT, "func(n int, x *float32)")
	Doc(fmt.Sprintf("%s does n rounds of %d independent fused multiply-adds by *x, on full registers.", name, acc))
	n, p := Load(Param("n"), GP64()), Load(Param("x"), GP64())
	x, y := vec(), vec()
	VBROADCASTSS(Mem{Base: p.(Register)}, x)
	VBROADCASTSS(Mem{Base: p.(Register)}, y)
	accs := make([]VecVirtual, acc)
	for i := range accs {
		accs[i] = vec()
		VBROADCASTSS(Mem{Base: p.(Register)}, accs[i])
	}
	Label("round")
	for _, a := range accs {
		VFMADD231PS(x, y, a)
	}
	DECQ(n)
	JNZ(LabelRef("round"))
	VZEROUPPER()
	RET()
}
