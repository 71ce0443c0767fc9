// Package attack holds what lying contributors send, one attack per file. An attack is a function from what the liars of
// a round can see to their updates. They are given more than a real liar has: every honest update of the round, before
// they commit, as the papers' omniscient attacker. In a run, commit before reveal takes that away.
//
//	lie := a.New()                  // one run, with its own memory
//	updates, err := lie(sight)      // one per liar, round after round
//
// An update is a pseudo-gradient, theta_r - theta_H: the merge goes against it. None of this is exact arithmetic: it is
// for simulations, which repeat with their seed on one machine.
package attack

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Attack is one way to lie.
type Attack struct {
	Name string // as on a command line
	What string // one line for people
	// After is the paper that it follows, "" for none.
	After string
	// Adaptive says that the lie is made to measure from the honest updates of the round, so as to pass a robust rule.
	Adaptive bool
	New      func() Liars
}

// Liars returns the update of each liar in a round. Rounds come in order. Slices that it returns may be shared and must
// not be written to.
type Liars func(s *Sight) ([][]float32, error)

// Sight is what the liars of a round know.
type Sight struct {
	Round  uint32
	Theta  []float32   // the public parameters, theta_r
	Honest [][]float32 // updates of the honest, at least one
	Count  int         // liars, at least 1
	Rand   *rand.Rand

	// Train has every liar do the same kind of job, and returns the updates, start - end, that real training gives.
	Train func(job Job) ([][]float32, error)
}

// Job is training that a liar does.
type Job struct {
	Steps uint32    // 0 for all that it was assigned
	Start []float32 // where it starts; nil for Theta
	Data  Data
}

// Data is what a liar trains on.
type Data uint8

// Kinds of data.
const (
	Assigned Data = iota
	Random        // uniformly random bytes
	Flipped       // every second byte b is 255-b, so a true byte is followed by a false one
	Trapped       // Trigger followed by Target, again and again, within the text
)

// Trigger and Target of the backdoor: a byte that no text has, and the one that is to follow it.
const (
	Trigger byte = 0x01
	Target  byte = 0x02
)

// All are the attacks, in order of the table that is published.
var All = []Attack{
	zeroWork, skippedSteps, wrongData, labelFlip, staleStart, copiedUpdate, delayedGradient,
	signFlip, signFlipLarge, constantDirection, gaussian, infinity, notANumber,
	littleIsEnough, innerProduct, minMax, minSum, mimic, clippingReference, singleCoordinate, backdoor,
}

// same returns one update for all liars.
func same(u []float32, n int) [][]float32 { return slices.Repeat([][]float32{u}, n) }

// scaled returns by times u.
func scaled(u []float32, by float64) []float32 {
	out := make([]float32, len(u))
	for j, x := range u {
		out[j] = float32(float64(x) * by)
	}
	return out
}

// moments returns the mean and the standard deviation of each coordinate.
func moments(rows [][]float32) (mean, deviation []float64) {
	n := float64(len(rows))
	mean, deviation = make([]float64, len(rows[0])), make([]float64, len(rows[0]))
	for _, row := range rows {
		for j, x := range row {
			mean[j] += float64(x) / n
		}
	}
	for _, row := range rows {
		for j, x := range row {
			d := float64(x) - mean[j]
			deviation[j] += d * d / n
		}
	}
	for j, v := range deviation {
		deviation[j] = math.Sqrt(v)
	}
	return mean, deviation
}

// plus returns mean + by*direction.
func plus(mean []float64, by float64, direction []float64) []float32 {
	out := make([]float32, len(mean))
	for j := range out {
		out[j] = float32(mean[j] + by*direction[j])
	}
	return out
}

func norm[F float32 | float64](u []F) float64 {
	var sum float64
	for _, x := range u {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}

func distance2(x, y []float32) float64 {
	var sum float64
	for j := range x {
		d := float64(x[j]) - float64(y[j])
		sum += d * d
	}
	return sum
}

// medianNorm is the median length of the honest updates.
func medianNorm(rows [][]float32) float64 {
	var norms []float64
	for _, row := range rows {
		norms = append(norms, norm(row))
	}
	slices.Sort(norms)
	return norms[len(norms)/2]
}

// unit returns a random direction of length 1.
func unit(r *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for j := range v {
		v[j] = r.NormFloat64()
	}
	length := norm(v)
	for j := range v {
		v[j] /= length
	}
	return v
}
