package trainer

import (
	"math/big"

	"drystone/protocol"
)

// schedulePrec is the precision in bits in which a learning rate is computed before it is rounded.
const schedulePrec = 256

const piDigits = "3.1415926535897932384626433832795028841971693993751058209749445923078164062862089986280348253421170679"

// learningRate returns the learning rate of step, from 0, of a round: the formula of the package comment, rounded once.
func learningRate(t *protocol.TrainSpec, round, step uint32) float32 {
	g, total, warmup := uint64(round)*uint64(t.Steps)+uint64(step), uint64(t.Rounds)*uint64(t.Steps), uint64(t.Warmup)
	lr := float(t.LR)
	if g < warmup {
		lr.Mul(lr, ratio(g+1, warmup))
	} else {
		floor := float(t.MinLR)
		angle := ratio(g-warmup, max(total, warmup+1)-warmup)
		pi, _, _ := big.ParseFloat(piDigits, 10, schedulePrec, big.ToNearestEven) // a constant: it parses
		share := bigCos(angle.Mul(angle, pi))
		share.Quo(share.Add(share, float(1)), float(2))
		lr.Add(floor, lr.Mul(lr.Sub(lr, floor), share))
	}
	rate, _ := lr.Float32()
	return rate
}

func float(x float64) *big.Float { return new(big.Float).SetPrec(schedulePrec).SetFloat64(x) }

func ratio(a, b uint64) *big.Float {
	q := new(big.Float).SetPrec(schedulePrec).SetUint64(a)
	return q.Quo(q, new(big.Float).SetPrec(schedulePrec).SetUint64(b))
}

// bigCos returns cos(x) for 0 <= x <= pi by its Taylor series, to within 2^-240.
func bigCos(x *big.Float) *big.Float {
	sum, term := float(1), float(1)
	square := float(0).Mul(x, x)
	for n := 1; term.Sign() != 0 && term.MantExp(nil) > -schedulePrec; n++ {
		term.Mul(term, square)
		term.Quo(term, float(float64(2*n*(2*n-1))))
		term.Neg(term)
		sum.Add(sum, term)
	}
	return sum
}
