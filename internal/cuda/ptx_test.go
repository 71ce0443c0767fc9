package cuda

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Operations on floats that round as docs/numerics.md, section 1, wants it, or not at all. Without .rn the driver's compiler may
// fuse a product with a sum; .ftz flushes; .approx approximates.
var floatOperations = regexp.MustCompile(`^(add|sub|mul|div|rcp|fma|sqrt)\.rn\.f32$|^(neg|abs|min|max|mov|selp)\.f32$|^cvt\.rn\.f32\.[us](32|64)$|` +
	`^(ld|st)\.(global|shared|param)(\.v[24])?\.f32$|^setp\.\w+\.f32$`)

// forbidden are instructions of tensor cores, and those that tie threads together in an order of the hardware's.
var forbidden = regexp.MustCompile(`\.(ftz|approx|sat|tf32|f16|bf16|f64|full)\b|mma|^(atom|red|shfl|vote|tex|ex2|lg2|sin|cos|tanh|rsqrt|call|mad\.f32|mad\.rn)`)

// Every instruction of the committed PTX rounds as it must.
func TestPTXRounds(t *testing.T) {
	if problems := badInstructions(kernelText); len(problems) > 0 {
		t.Errorf("%d instructions, such as %q", len(problems), problems[0])
	}
	for _, line := range []string{
		"add.f32 %f1, %f2, %f3;", "mul.f32 %f1, %f2, %f3;", "fma.rn.ftz.f32 %f1, %f2, %f3, %f4;", "div.approx.f32 %f1, %f2, %f3;", "div.full.f32 %f1, %f2, %f3;",
		"sqrt.approx.f32 %f1, %f2;", "mad.f32 %f1, %f2, %f3, %f4;", "ex2.approx.f32 %f1, %f2;", "rsqrt.approx.f32 %f1, %f2;", "add.rz.f32 %f1, %f2, %f3;",
		"mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%f1}, {%f2}, {%f3}, {%f4};", "red.global.add.f32 [%rd1], %f1;", "@%p1 atom.global.add.f32 %f1, [%rd1], %f2;",
		"setp.lt.ftz.f32 %p1, %f1, %f2;", "cvt.rn.f16.f32 %h1, %f1;", "add.rn.f64 %fd1, %fd2, %fd3;",
	} {
		if len(badInstructions("\t"+line)) == 0 {
			t.Errorf("%q is let through", line)
		}
	}
}

var instruction = regexp.MustCompile(`^\t(?:@!?%p\d+\s+)?([a-z][a-z0-9_.]*)`)

func badInstructions(ptx string) (bad []string) {
	for line := range strings.Lines(ptx) {
		m := instruction.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		name := m[1]
		if forbidden.MatchString(name) || strings.Contains(name, "f32") && !floatOperations.MatchString(name) {
			bad = append(bad, strings.TrimSpace(line))
		}
	}
	return bad
}

// The committed PTX is what its sources compile to.
func TestPTXIsCurrent(t *testing.T) {
	source, err := os.ReadFile("generate.go")
	if err != nil {
		t.Fatal(err)
	}
	_, command, ok := strings.Cut(string(source), "//go:generate ")
	if !ok {
		t.Fatal("no go:generate line")
	}
	command, _, _ = strings.Cut(command, "\n")
	args := strings.Fields(command)
	if _, err := exec.LookPath(args[0]); err != nil {
		t.Skipf("skipped: no %s here, so the PTX is not compiled again", args[0])
	}
	out := filepath.Join(t.TempDir(), "kernels.ptx")
	args[len(args)-1] = out
	if text, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, []byte(kernelText)) {
		t.Error("kernels.ptx is not what kernels/ compiles to: run go generate ./internal/cuda")
	}
}
