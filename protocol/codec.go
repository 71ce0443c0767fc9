package protocol

func (s *CodecSpec) validate(c *checker) {
	c.oneOf("codec.up", s.Up, "dense", "sparse", "rice", "int8", "masked")
	c.between("codec.shard_params", float64(s.ShardParams), 4096, 1<<24)
	c.rule(s.ShardParams%4096 == 0, "codec.shard_params = %d is not a multiple of 4096", s.ShardParams)
	switch s.Up {
	case "sparse", "rice":
		c.between("codec.top_k", float64(s.TopK), 1, 4096)
		c.rule(s.ValueBits == 2 || s.ValueBits == 4, "codec.value_bits = %d, want 2 or 4", s.ValueBits)
	case "masked":
		c.between("codec.top_k", float64(s.TopK), 1, 4096)
		c.rule(s.ValueBits == 0, "codec.value_bits = %d, want 0 with masked, whose values have 8", s.ValueBits)
	default:
		c.rule(s.TopK == 0 && s.ValueBits == 0, "codec.top_k and value_bits are for the sparse, rice and masked codecs, want 0 with %s", s.Up)
	}
	c.between("codec.stagger", float64(s.Stagger), 0, 64)
	c.rule(s.Stagger == 0 || s.Stagger > 1 && s.HasFeedback(), "codec.stagger = %d, want 0, or 2 to 64 and a codec with error feedback", s.Stagger)
	if s.HasFeedback() {
		c.between("codec.decay", s.Decay, 0, 1)
	} else {
		c.rule(s.Decay == 0, "codec.decay = %v, want 0 with dense", s.Decay)
	}
	c.rule(s.PayloadBound() <= MaxMessage-4096, "codec.shard_params = %d makes messages of up to %d bytes, over the limit of %d; use smaller shards", s.ShardParams, s.PayloadBound(), MaxMessage-4096)
	s.validateDown(c)
}

// validateDown checks the way down. A payload of it is a blob, whose size no message limits.
func (s *CodecSpec) validateDown(c *checker) {
	c.rule(s.Down != "dense", "codec.down = dense sends as much as whole states do; leave it out")
	if s.Down == "" {
		c.rule(s.DownTopK == 0 && s.DownValueBits == 0 && s.DownDecay == 0, "codec.down_top_k, down_value_bits and down_decay are settings of codec.down, want 0 without")
		return
	}
	c.oneOf("codec.down", s.Down, "sparse", "rice", "int8")
	if s.Down == "int8" {
		c.rule(s.DownTopK == 0 && s.DownValueBits == 0, "codec.down_top_k and down_value_bits are for the sparse and rice codecs, want 0 with int8")
	} else {
		c.between("codec.down_top_k", float64(s.DownTopK), 1, 4096)
		c.rule(s.DownValueBits == 2 || s.DownValueBits == 4, "codec.down_value_bits = %d, want 2 or 4", s.DownValueBits)
	}
	c.between("codec.down_decay", s.DownDecay, 0, 1)
}

// Downward returns the settings of the way down as those of a way up, which is how package delta takes them.
func (s *CodecSpec) Downward() CodecSpec {
	return CodecSpec{Up: s.Down, TopK: s.DownTopK, ValueBits: s.DownValueBits, Decay: s.DownDecay, ShardParams: s.ShardParams}
}

// HasFeedback reports whether a peer carries error feedback from round to round: with every codec but dense.
func (s *CodecSpec) HasFeedback() bool { return s.Up != "dense" }

// PayloadBound returns a length in bytes that no payload of a full shard exceeds.
func (s *CodecSpec) PayloadBound() int {
	chunks := (s.ShardParams + 4095) / 4096
	switch s.Up {
	case "dense":
		return 4*s.ShardParams + 64
	case "int8":
		return chunks*(2+4096) + 64
	case "masked":
		return chunks*(2+s.TopK) + 64
	case "rice": // gaps in any distribution take hardly more than 12 bits each; 2 bytes are for the table
		return chunks*(6+(s.TopK*(12+s.ValueBits)+7)/8) + 64
	}
	return chunks*(2+(s.TopK*(12+s.ValueBits)+7)/8) + 64
}
