// Command neon generates the NEON kernels of package exact. Each kernel performs,
// lane by lane, the operations of the Go reference in the same order;
// docs/numerics.md is the contract. Run it with go generate in internal/exact.
//
// Go's assembler for arm64 lacks most vector operations on float32. Those are
// emitted as words, encoded here by the tables of the Arm Architecture Reference
// Manual (DDI 0487, C4.1, "Data processing: scalar floating-point and Advanced
// SIMD"), with the mnemonic as a comment in the manual's order of operands.
//
// All kernels that walk along a row take n in blocks of sixteen elements, which
// is four registers.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
)

func main() {
	out := flag.String("out", "kernels_arm64.s", "write the kernels to this file")
	stubs := flag.String("stubs", "kernels_arm64.go", "write their declarations to this file")
	pkg := flag.String("pkg", "exact", "package of the declarations")
	flag.Parse()
	f := generate(*pkg)
	for name, b := range map[string]*bytes.Buffer{*out: &f.asm, *stubs: &f.stubs} {
		if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "neon:", err)
			os.Exit(1)
		}
	}
}

func generate(pkg string) *file {
	f := newFile(pkg)
	genGemm(f, "Gemm", tileRows)
	genGemm(f, "Gemm4", 4)
	genGemm(f, "Gemm1", 1)
	genCopyRows(f)
	genCopySteps(f)
	genTranspose(f)
	genElementwise(f)
	genNorm(f)
	genLayerNorm(f)
	genRope(f)
	genSoftmax(f)
	genSwiGLU(f)
	genReLU(f)
	genGELU(f)
	genTakeMax(f)
	genAdamW(f)
	genPause(f)
	return f
}
