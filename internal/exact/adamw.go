package exact

// AdamWParams are the settings of one AdamW step (Loshchilov and Hutter,
// "Decoupled weight decay regularization", 2019).
type AdamWParams struct {
	LR           float32 // learning rate of this step
	Beta1, Beta2 float32 // decay of the moments, in [0,1)
	Eps          float32 // added to the root of the second moment
	WeightDecay  float32 // decoupled: p shrinks by LR*WeightDecay
	Step         int     // 1 for the first step; enters by the bias corrections
}

// biasCache keeps the corrections of the last step, so that they are computed
// once per step and not once per tensor.
type biasCache struct {
	beta1, beta2 float32
	step         int
	c1, c2       float32
}

// adamConst are the scalars of one step.
type adamConst struct {
	beta1, rest1 float32 // beta1, 1-beta1
	beta2, rest2 float32
	corr1, corr2 float32 // 1-beta^step
	eps          float32
	decay, lr    float32 // -(LR*WeightDecay), -LR
}

type adamArgs struct {
	p, g, m, v []float32
	c          adamConst
}

// AdamWStep updates the parameters p and the moments m and v (each len(p)) from
// the gradient g. For each element, every operation rounded:
//
//	m = fma(beta1, m, (1-beta1)*g)           below 2^-126 in magnitude: +0
//	v = fma(beta2, v, (1-beta2)*(g*g))       below 2^-126 in magnitude: +0
//	u = (m/(1-beta1^step)) / (sqrt(v/(1-beta2^step)) + eps)
//	p = fma(-LR, u, fma(-(LR*WeightDecay), p, p))
//
// 1-beta^step is OneMinusPow; 1-beta and LR*WeightDecay are float32 operations.
func (e *Engine) AdamWStep(p, g, m, v []float32, h AdamWParams) {
	const kernel = "AdamWStep"
	need(kernel, "g", len(g), len(p))
	need(kernel, "m", len(m), len(p))
	need(kernel, "v", len(v), len(p))
	require(h.Step >= 1, kernel, "step is less than 1")
	e.args.adam = adamArgs{p, g, m, v, e.adamConst(h)}
	e.pool.run(e, pieces(len(p), pieceElems), func(e *Engine, w, i int) {
		a := &e.args.adam
		lo, hi := span(i, pieceElems, len(a.p))
		if e.vec != nil {
			e.vecAdamW(a, lo, hi, w)
			return
		}
		for j := lo; j < hi; j++ {
			refAdamW(&a.c, &a.p[j], a.g[j], &a.m[j], &a.v[j])
		}
	})
}

func (e *Engine) adamConst(h AdamWParams) adamConst {
	b := &e.bias
	if b.step != h.Step || b.beta1 != h.Beta1 || b.beta2 != h.Beta2 {
		*b = biasCache{h.Beta1, h.Beta2, h.Step, OneMinusPow(h.Beta1, h.Step), OneMinusPow(h.Beta2, h.Step)}
	}
	return adamConst{
		beta1: h.Beta1, rest1: 1 - h.Beta1,
		beta2: h.Beta2, rest2: 1 - h.Beta2,
		corr1: b.c1, corr2: b.c2,
		eps:   h.Eps,
		decay: -float32(h.LR * h.WeightDecay), lr: -h.LR,
	}
}

func refAdamW(c *adamConst, p *float32, g float32, m, v *float32) {
	*m = flush(FMA32(c.beta1, *m, float32(c.rest1*g)))
	*v = flush(FMA32(c.beta2, *v, float32(c.rest2*float32(g*g))))
	u := float32(*m/c.corr1) / (sqrt32(float32(*v/c.corr2)) + c.eps)
	*p = FMA32(c.lr, u, FMA32(c.decay, *p, *p))
}

// AdamWScalars are what a step computes once: Rest is 1-Beta, Corr the correction 1-Beta^Step, Decay -(LR*WeightDecay). LR is
// negated.
type AdamWScalars struct {
	Beta1, Rest1, Beta2, Rest2, Corr1, Corr2, Eps, Decay, LR float32
}

// Scalars computes them, for other devices.
func (h AdamWParams) Scalars() AdamWScalars {
	return AdamWScalars{
		Beta1: h.Beta1, Rest1: 1 - h.Beta1, Beta2: h.Beta2, Rest2: 1 - h.Beta2,
		Corr1: OneMinusPow(h.Beta1, h.Step), Corr2: OneMinusPow(h.Beta2, h.Step),
		Eps: h.Eps, Decay: -float32(h.LR * h.WeightDecay), LR: -h.LR,
	}
}
