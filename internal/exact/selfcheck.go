package exact

import (
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
)

// ErrWrong means that a device computes something else than docs/numerics.md defines: failing memory, too high a clock, a
// broken driver. What it makes would not stand.
var ErrWrong = errors.New("this device computes wrongly (overclocked, too hot, or failing memory?); nothing it makes would pass a check")

// SelfCheck runs a short workload whose results are known and compares them to the bit, rounds times over: one round shows
// a kernel that is wrong, many a device that is wrong now and then. It returns an error that wraps ErrWrong and names the
// kernel, or that of the device. The device must not be in use: SelfCheck ends with Forget.
func SelfCheck(k Kernels, rounds int) error {
	defer k.Forget()
	return Attempt(func() error {
		want := knownDigests()
		cases := make([]checkCase, 0, len(checks))
		for _, c := range checks {
			cases = append(cases, c.prepare(k))
		}
		for range rounds {
			for _, c := range cases {
				c.run()
			}
			if err := k.Wait(); err != nil {
				return err
			}
			for _, c := range cases {
				if got := digestBits(c.out); got != want[c.name] {
					return fmt.Errorf("%w: %s on %s", ErrWrong, c.name, k.Path())
				}
			}
		}
		return nil
	})
}

//go:embed selfcheck.txt
var selfcheckText string

// knownDigests are those of the reference path, one line per case: a name and a digest.
func knownDigests() map[string]string {
	known := map[string]string{}
	for line := range strings.Lines(selfcheckText) {
		if name, digest, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			known[name] = digest
		}
	}
	return known
}

// digestBits is the SHA-256 of results as little-endian float32, every NaN as 7fc00000.
func digestBits(out [][]float32) string {
	h := sha256.New()
	buf := make([]byte, 0, 4096)
	for _, x := range out {
		for _, v := range x {
			bits := math.Float32bits(v)
			if v != v {
				bits = 0x7fc00000
			}
			if buf = binary.LittleEndian.AppendUint32(buf, bits); len(buf) == cap(buf) {
				h.Write(buf)
				buf = buf[:0]
			}
		}
	}
	h.Write(buf)
	return fmt.Sprintf("%x", h.Sum(nil))
}

// checkCase is a prepared part of the workload: run may be repeated and leaves the same results in out.
type checkCase struct {
	name string
	run  func()
	out  [][]float32
}

// check is a part of the workload. Its operands are integers over a power of two, from a generator of integers, so that no
// library function enters.
type check struct {
	name string
	make func(c *checkOperands)
}

func (c check) prepare(k Kernels) checkCase {
	o := &checkOperands{Kernels: k, state: 1}
	c.make(o)
	return checkCase{c.name, o.run, o.out}
}

// checkOperands gives memory of a device to one case.
type checkOperands struct {
	Kernels
	state uint64
	run   func()
	out   [][]float32
}

func (o *checkOperands) next() uint64 { // Knuth's MMIX generator; the high bits are good
	o.state = o.state*6364136223846793005 + 1442695040888963407
	return o.state >> 33
}

// in returns n operands in [-2, 2).
func (o *checkOperands) in(n int) []float32 {
	x := o.Floats(n)
	for i := range x {
		x[i] = float32(int32(o.next()%(1<<22))-1<<21) / (1 << 20)
	}
	return x
}

// ids returns n numbers below limit.
func (o *checkOperands) ids(n, limit int) []int32 {
	x := o.Ints(n)
	for i := range x {
		x[i] = int32(o.next() % uint64(limit))
	}
	return x
}

// result returns memory for n results, which count.
func (o *checkOperands) result(n int) []float32 {
	x := o.Floats(n)
	o.out = append(o.out, x)
	return x
}
