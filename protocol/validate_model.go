package protocol

// Validate checks the model alone. It returns the first violation, wrapped in ErrBadSpec.
func (m *ModelSpec) Validate() error {
	var c checker
	m.validate(&c)
	return c.err
}

// validate checks the fields that the family uses, and that the others are zero.
func (m *ModelSpec) validate(c *checker) {
	c.oneOf("model.family", m.Family, "llama", "mlp", "convnet")
	switch m.Family {
	case "llama":
		m.validateLlama(c)
	case "mlp":
		c.between("model.dim", float64(m.Dim), 1, 1<<16)
		c.between("model.layers", float64(m.Layers), 1, 64)
		c.between("model.inputs", float64(m.Inputs), 1, MaxFeatures)
		m.validateOutputs(c, "cross-entropy", "squared-error")
		m.unused(c, "height", m.Height, "width", m.Width, "channels", m.Channels)
	case "convnet":
		c.between("model.dim", float64(m.Dim), 1, 4096)
		c.between("model.layers", float64(m.Layers), 1, 10)
		c.between("model.height", float64(m.Height), 1, 1024)
		c.between("model.width", float64(m.Width), 1, 1024)
		c.between("model.channels", float64(m.Channels), 1, 1024)
		m.validateOutputs(c, "cross-entropy")
		m.unused(c, "inputs", m.Inputs)
		c.rule(c.err != nil || m.Features() <= MaxFeatures, "model.height, width and channels make %d values per image, want at most %d", m.Features(), MaxFeatures)
		c.rule(c.err != nil || min(m.Height, m.Width)>>m.Layers > 0, "model.layers = %d: pooling halves an image of %d x %d to nothing", m.Layers, m.Height, m.Width)
	}
}

func (m *ModelSpec) validateLlama(c *checker) {
	c.between("model.dim", float64(m.Dim), 2, 1<<16)
	c.between("model.layers", float64(m.Layers), 1, 1024)
	c.between("model.heads", float64(m.Heads), 1, 1024)
	c.between("model.kv_heads", float64(m.KVHeads), 1, float64(m.Heads))
	c.between("model.ffn", float64(m.FFN), 1, 1<<18)
	c.between("model.vocab", float64(m.Vocab), 2, 1<<20)
	c.between("model.context", float64(m.Context), 1, 1<<17)
	c.between("model.norm_eps", m.NormEps, 1e-12, 1)
	c.between("model.rope_theta", m.RopeTheta, 1, 1e9)
	m.unused(c, "inputs", m.Inputs, "height", m.Height, "width", m.Width, "channels", m.Channels, "outputs", m.Outputs)
	c.rule(m.Loss == "", "model.loss = %q, want none for family llama", clip(m.Loss))
	if c.err != nil {
		return // the divisions below need positive divisors
	}
	c.rule(m.Dim%m.Heads == 0 && m.Dim/m.Heads%2 == 0, "model.dim = %d with heads = %d: the head size must be a whole even number", m.Dim, m.Heads)
	c.rule(m.Heads%m.KVHeads == 0, "model.kv_heads = %d does not divide heads = %d", m.KVHeads, m.Heads)
}

// validateOutputs checks what the families on examples share.
func (m *ModelSpec) validateOutputs(c *checker, losses ...string) {
	c.oneOf("model.loss", m.Loss, losses...)
	if m.Loss == "cross-entropy" {
		c.between("model.outputs", float64(m.Outputs), 2, MaxOutputs)
	} else {
		c.between("model.outputs", float64(m.Outputs), 1, MaxOutputs)
	}
	m.unused(c, "heads", m.Heads, "kv_heads", m.KVHeads, "ffn", m.FFN, "vocab", m.Vocab, "context", m.Context)
	c.rule(m.NormEps == 0, "model.norm_eps = %v, want 0 for family %s", m.NormEps, m.Family)
	c.rule(m.RopeTheta == 0, "model.rope_theta = %v, want 0 for family %s", m.RopeTheta, m.Family)
	c.rule(!m.Tied, "model.tied = true, want false for family %s", m.Family)
}

// unused refuses values of fields that the family does not have: they would be part of the RunID and of nothing else.
func (m *ModelSpec) unused(c *checker, fields ...any) {
	for i := 0; i < len(fields); i += 2 {
		c.rule(fields[i+1] == 0, "model.%v = %v, want 0 for family %s", fields[i], fields[i+1], m.Family)
	}
}

// Bounds on examples.
const (
	MaxFeatures = 1 << 16 // values that a model reads of one example
	MaxOutputs  = 1 << 16 // classes, or values to predict
)

// OnExamples reports whether the family reads labelled examples, and not sequences of tokens.
func (m *ModelSpec) OnExamples() bool { return m.Family == "mlp" || m.Family == "convnet" }

// Features returns the values that the model reads of one example; 0 for a llama.
func (m *ModelSpec) Features() int {
	if m.Family == "convnet" {
		return m.Height * m.Width * m.Channels
	}
	return m.Inputs
}

func (s *RunSpec) validateData(c *checker) {
	d := &s.Data
	c.rule(d.Tokens <= 1<<48, "data.tokens = %d, want at most 2^48", d.Tokens)
	if s.Model.OnExamples() {
		c.oneOf("data.kind", d.Kind, Examples)
		c.rule(d.Tokenizer == "", "data.tokenizer = %q, want none for examples", clip(d.Tokenizer))
		c.rule(d.Holdout >= 1, "data.holdout = 0, want at least one example")
		c.rule(d.Tokens > d.Holdout, "data.tokens = %d leaves no example beside the holdout of %d", d.Tokens, d.Holdout)
		return
	}
	c.oneOf("data.kind", d.Kind, "")
	c.oneOf("data.tokenizer", d.Tokenizer, "bytes", "u16le", "u32le")
	if d.Tokenizer == "bytes" {
		c.rule(s.Model.Vocab >= 256, "model.vocab = %d is too small for the bytes tokenizer, want at least 256", s.Model.Vocab)
	}
	need := uint64(max(s.Model.Context, 0)) + 1
	c.rule(d.Holdout >= need, "data.holdout = %d, want at least one sequence of context+1 = %d tokens", d.Holdout, need)
	c.rule(d.Tokens >= d.Holdout && d.Tokens-d.Holdout >= need,
		"data.tokens = %d leaves less than one sequence of %d tokens beside the holdout of %d", d.Tokens, need, d.Holdout)
}

// TokenBytes returns the bytes of one token; 0 for examples.
func (d *DataSpec) TokenBytes() int {
	switch d.Tokenizer {
	case "bytes":
		return 1
	case "u16le":
		return 2
	case "u32le":
		return 4
	}
	return 0
}
