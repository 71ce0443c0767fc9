package aggregate

import (
	"math"

	"drystone/protocol"
)

// applyUpdate applies the merged update of a shard to its theta, outer state and error feedback in place. It returns the
// payload of the way down, nil in runs without one, and reports whether the result is finite and has such a payload.
// update is spoilt.
func applyUpdate(spec *protocol.RunSpec, s shardState, update []float32) (payload []byte, ok bool) {
	switch spec.Outer.Optimiser {
	case "fedadam", "fedyogi":
		ok = adaptiveStep(&spec.Outer, s.m, s.v, update)
	default:
		ok = outerStep(&spec.Outer, s.m, update)
	}
	if spec.Codec.Down == "" {
		for j, step := range update {
			s.theta[j] -= step
		}
		return nil, ok && allFinite(s.theta)
	}
	payload, err := encodeStep(spec, update, s.feedback)
	if !ok || err != nil || ApplyDown(spec, s.theta, payload) != nil {
		return nil, false
	}
	return payload, allFinite(s.theta)
}

// outerStep turns the update into the step that is subtracted from theta, and m into what follows it, both in place; m is
// empty for sgd. It reports whether m is finite. The conversions round each product, which forbids the compiler to fuse it
// with the sum.
func outerStep(o *protocol.OuterSpec, m, update []float32) bool {
	lr, mu := float32(o.LR), float32(o.Momentum)
	ok := true
	for j, u := range update {
		step := u
		if len(m) > 0 {
			v := flush(float32(mu*m[j]) + u)
			m[j] = v
			step = u + float32(mu*v)
			ok = ok && finite(float64(v))
		}
		update[j] = float32(lr * step)
	}
	return ok
}

func allFinite(v []float32) bool {
	for _, x := range v {
		if !finite(float64(x)) {
			return false
		}
	}
	return true
}

// adaptiveStep is FedAdam or FedYogi (Reddi et al. 2021, algorithm 2) with the update u for the pseudo-gradient. Moments
// start at zero and are not corrected for that, as in the paper. In float32, each operation rounded to nearest even,
// lr, beta1 = Momentum, beta2 and tau rounded first:
//
//	m'       = flush((beta1*m) + ((1-beta1)*u))
//	s        = u*u
//	fedadam: v' = flush((beta2*v) + ((1-beta2)*s))
//	fedyogi: v' = flush(v - ((1-beta2)*s)) if v > s, flush(v + ((1-beta2)*s)) if v < s, v if they are equal
//	theta'   = theta - (lr * (m' / (sqrt(v') + tau)))
//
// flush makes a result below 2^-126 in magnitude +0. The update becomes the step that is subtracted from theta. It reports
// whether m and v are finite.
func adaptiveStep(o *protocol.OuterSpec, m, v, update []float32) bool {
	lr, beta1, beta2, tau := float32(o.LR), float32(o.Momentum), float32(o.Beta2), float32(o.Tau)
	rest1, rest2 := 1-beta1, 1-beta2
	yogi := o.Optimiser == "fedyogi"
	ok := true
	for j, u := range update {
		m[j] = flush(float32(beta1*m[j]) + float32(rest1*u))
		s := float32(u * u)
		add := float32(rest2 * s)
		switch {
		case !yogi:
			v[j] = flush(float32(beta2*v[j]) + add)
		case v[j] > s:
			v[j] = flush(v[j] - add)
		case v[j] < s:
			v[j] = flush(v[j] + add)
		}
		root := float32(math.Sqrt(float64(v[j]))) // rounded once: float64 has more than twice the digits
		update[j] = float32(lr * float32(m[j]/float32(root+tau)))
		ok = ok && finite(float64(m[j])) && finite(float64(v[j]))
	}
	return ok
}

// flush makes what is below 2^-126 in magnitude +0.
func flush(x float32) float32 {
	if math.Float32bits(x)&0x7fffffff < 0x00800000 {
		return 0
	}
	return x
}
