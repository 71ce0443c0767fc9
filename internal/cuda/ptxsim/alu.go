package ptxsim

import (
	"math"
	"math/bits"

	"drystone/internal/exact"
)

// alu has the instructions that only compute: registers hold the bits of their values, predicates 0 or 1.
var alu = map[string]func(a, b, c uint64) uint64{
	"add.s32": func(a, b, _ uint64) uint64 { return word(uint32(a) + uint32(b)) },
	"sub.s32": func(a, b, _ uint64) uint64 { return word(uint32(a) - uint32(b)) },
	"neg.s32": func(a, _, _ uint64) uint64 { return word(-uint32(a)) },
	"add.s64": func(a, b, _ uint64) uint64 { return a + b },
	"sub.s64": func(a, b, _ uint64) uint64 { return a - b },

	"mul.lo.s32":   func(a, b, _ uint64) uint64 { return word(uint32(a) * uint32(b)) },
	"mul.lo.s64":   func(a, b, _ uint64) uint64 { return a * b },
	"mul.wide.u32": func(a, b, _ uint64) uint64 { return uint64(uint32(a)) * uint64(uint32(b)) },
	"mul.wide.s32": func(a, b, _ uint64) uint64 { return uint64(int64(int32(a)) * int64(int32(b))) },
	"mad.lo.s32":   func(a, b, c uint64) uint64 { return word(uint32(a)*uint32(b) + uint32(c)) },
	"mad.lo.s64":   func(a, b, c uint64) uint64 { return a*b + c },
	"div.u32":      func(a, b, _ uint64) uint64 { return divide(uint64(uint32(a)), uint64(uint32(b))) & 0xffffffff },
	"div.u64":      func(a, b, _ uint64) uint64 { return divide(a, b) },
	"div.s32":      func(a, b, _ uint64) uint64 { return divideSigned(int32(a), int32(b)) },
	"rem.u32":      func(a, b, _ uint64) uint64 { return remainder(uint64(uint32(a)), uint64(uint32(b))) & 0xffffffff },
	"rem.u64":      func(a, b, _ uint64) uint64 { return remainder(a, b) },
	"mul.hi.u32":   func(a, b, _ uint64) uint64 { return uint64(uint32(a)) * uint64(uint32(b)) >> 32 },
	"mul.hi.u64":   func(a, b, _ uint64) uint64 { hi, _ := bits.Mul64(a, b); return hi },

	"shl.b32": func(a, b, _ uint64) uint64 { return word(uint32(a) << uint32(b)) },
	"shl.b64": func(a, b, _ uint64) uint64 { return a << uint32(b) },
	"shr.u32": func(a, b, _ uint64) uint64 { return word(uint32(a) >> uint32(b)) },
	"shr.s32": func(a, b, _ uint64) uint64 { return word(uint32(int32(a) >> uint32(b))) },
	"shr.u64": func(a, b, _ uint64) uint64 { return a >> uint32(b) },
	"shr.s64": func(a, b, _ uint64) uint64 { return uint64(int64(a) >> uint32(b)) },

	"and.b32": and, "and.b64": and, "and.pred": and,
	"or.b32": or, "or.b64": or, "or.pred": or,
	"xor.b32": xor, "xor.b64": xor, "xor.pred": xor,
	"not.b32":  func(a, _, _ uint64) uint64 { return word(^uint32(a)) },
	"not.b64":  func(a, _, _ uint64) uint64 { return ^a },
	"not.pred": func(a, _, _ uint64) uint64 { return a ^ 1 },

	"min.u32": func(a, b, _ uint64) uint64 { return word(min(uint32(a), uint32(b))) },
	"max.u32": func(a, b, _ uint64) uint64 { return word(max(uint32(a), uint32(b))) },
	"min.s32": func(a, b, _ uint64) uint64 { return word(uint32(min(int32(a), int32(b)))) },
	"max.s32": func(a, b, _ uint64) uint64 { return word(uint32(max(int32(a), int32(b)))) },
	"min.u64": func(a, b, _ uint64) uint64 { return min(a, b) },
	"max.u64": func(a, b, _ uint64) uint64 { return max(a, b) },
	"min.s64": func(a, b, _ uint64) uint64 { return uint64(min(int64(a), int64(b))) },
	"max.s64": func(a, b, _ uint64) uint64 { return uint64(max(int64(a), int64(b))) },

	"mov.f32": move, "mov.u32": move, "mov.b32": move, "mov.u64": move, "mov.b64": move, "mov.pred": move,
	"cvta.to.global.u64": move, "cvt.u64.u32": move,
	"cvt.u32.u64":    func(a, _, _ uint64) uint64 { return word(uint32(a)) },
	"cvt.s64.s32":    func(a, _, _ uint64) uint64 { return uint64(int64(int32(a))) },
	"cvt.rn.f32.u32": func(a, _, _ uint64) uint64 { return float(float32(uint32(a))) },
	"cvt.rn.f32.s32": func(a, _, _ uint64) uint64 { return float(float32(int32(a))) },
	"selp.b32":       choose, "selp.u32": choose, "selp.s32": choose, "selp.f32": choose, "selp.b64": choose, "selp.u64": choose, "selp.s64": choose,

	"add.rn.f32":  func(a, b, _ uint64) uint64 { return float(value(a) + value(b)) },
	"sub.rn.f32":  func(a, b, _ uint64) uint64 { return float(value(a) - value(b)) },
	"mul.rn.f32":  func(a, b, _ uint64) uint64 { return float(float32(value(a) * value(b))) },
	"div.rn.f32":  func(a, b, _ uint64) uint64 { return float(value(a) / value(b)) },
	"rcp.rn.f32":  func(a, _, _ uint64) uint64 { return float(1 / value(a)) },
	"sqrt.rn.f32": func(a, _, _ uint64) uint64 { return float(float32(math.Sqrt(float64(value(a))))) },
	"fma.rn.f32":  func(a, b, c uint64) uint64 { return float(exact.FMA32(value(a), value(b), value(c))) },
	"neg.f32":     func(a, _, _ uint64) uint64 { return a ^ 0x80000000 },
	"abs.f32":     func(a, _, _ uint64) uint64 { return a &^ 0x80000000 },
	"min.f32":     func(a, b, _ uint64) uint64 { return minmax(a, b, value(a) < value(b)) },
	"max.f32":     func(a, b, _ uint64) uint64 { return minmax(a, b, value(a) > value(b)) },
}

func word(x uint32) uint64   { return uint64(x) }
func float(x float32) uint64 { return uint64(math.Float32bits(x)) }
func value(x uint64) float32 { return math.Float32frombits(uint32(x)) }

func and(a, b, _ uint64) uint64  { return a & b }
func or(a, b, _ uint64) uint64   { return a | b }
func xor(a, b, _ uint64) uint64  { return a ^ b }
func move(a, _, _ uint64) uint64 { return a }

func choose(a, b, p uint64) uint64 {
	if p != 0 {
		return a
	}
	return b
}

// A division of integers by zero gives an unspecified value: all ones here.
func divide(a, b uint64) uint64 {
	if b == 0 {
		return math.MaxUint64
	}
	return a / b
}

func remainder(a, b uint64) uint64 {
	if b == 0 {
		return math.MaxUint64
	}
	return a % b
}

func divideSigned(a, b int32) uint64 {
	if b == 0 {
		return math.MaxUint32
	}
	return word(uint32(a / b))
}

// minmax is min.f32 and max.f32: the other one if one is NaN, and of zeros -0 is the smaller.
func minmax(a, b uint64, first bool) uint64 {
	x, y := value(a), value(b)
	switch {
	case x != x:
		return b
	case y != y || first:
		return a
	}
	return b
}

// compare has the comparisons of setp, by relation and type.
var compare = map[string]func(a, b uint64) bool{}

func init() {
	signed := map[string]func(a, b int64) bool{
		"eq": func(a, b int64) bool { return a == b }, "ne": func(a, b int64) bool { return a != b }, "lt": func(a, b int64) bool { return a < b },
		"le": func(a, b int64) bool { return a <= b }, "gt": func(a, b int64) bool { return a > b }, "ge": func(a, b int64) bool { return a >= b },
	}
	for name, f := range signed {
		compare[name+".s32"] = func(a, b uint64) bool { return f(int64(int32(a)), int64(int32(b))) }
		compare[name+".b32"] = compare[name+".s32"]
		compare[name+".u32"] = func(a, b uint64) bool { return f(int64(uint32(a)), int64(uint32(b))) }
		compare[name+".s64"] = func(a, b uint64) bool { return f(int64(a), int64(b)) }
		compare[name+".b64"] = compare[name+".s64"]
		compare[name+".u64"] = func(a, b uint64) bool { return f(int64(a^1<<63), int64(b^1<<63)) }
	}
	for name, f := range map[string]func(a, b float32) bool{
		"eq": func(a, b float32) bool { return a == b }, "ne": func(a, b float32) bool { return a < b || a > b }, "lt": func(a, b float32) bool { return a < b },
		"le": func(a, b float32) bool { return a <= b }, "gt": func(a, b float32) bool { return a > b }, "ge": func(a, b float32) bool { return a >= b },
		"num": func(a, b float32) bool { return a == a && b == b },
	} {
		compare[name+".f32"] = func(a, b uint64) bool { return f(value(a), value(b)) }
		if name != "num" { // the forms that also hold if one is NaN
			compare[name+"u.f32"] = func(a, b uint64) bool { x, y := value(a), value(b); return x != x || y != y || f(x, y) }
		}
	}
	compare["nan.f32"] = func(a, b uint64) bool { x, y := value(a), value(b); return x != x || y != y }
}
