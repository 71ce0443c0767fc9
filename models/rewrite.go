package models

// fuseSums replaces each addition of a gradient to one that the op before can add to, where nothing else reads that one. The
// operations and their rounding stay, one pass over memory less is made.
func fuseSums(code []*instr) []*instr {
	made := make(map[*value]int)
	for i, c := range code {
		made[c.out] = i
	}
	reads := readers(code)
	gone := make(map[*instr]bool)
	for i, c := range code {
		if c.op.kind != "sum" || len(c.in) != 2 {
			continue
		}
		for k, v := range c.in {
			at, ok := made[v]
			if !ok || code[at].op.plus == nil || v.memory != nil || !onlyFor(c, v, reads[v]) {
				continue
			}
			other, old := c.in[1-k], code[at]
			if j, ok := made[other]; ok && j > at {
				continue // not there yet
			}
			code[at] = &instr{op: old.op.plus(), out: c.out, in: append(old.in[:len(old.in):len(old.in)], other)}
			for _, r := range reads[v] {
				r.replace(v, c.out)
			}
			gone[code[i]] = true
			made[c.out] = at
			break
		}
	}
	return without(code, gone)
}

// onlyFor reports whether v is read by sum and otherwise by leftovers only, which ask for its op and not for its value.
func onlyFor(sum *instr, v *value, reads []*instr) bool {
	for _, r := range reads {
		if r != sum && r.op.memory == nil {
			return false
		}
	}
	return sum.in[0] != sum.in[1]
}

// recompute makes the values inside layers 1 to layers-1 short-lived: what the way back reads of them, it reads from a
// second run of the layer's instructions right before. Only a layer's input and output live on; the last layer is
// needed again at once. The same kernels on the same operands give the same bits.
func recompute(code []*instr, layers int) []*instr {
	for s := layers - 1; s >= 1; s-- {
		code = recomputeLayer(code, s)
	}
	return code
}

func recomputeLayer(code []*instr, segment int) []*instr {
	var layer []*instr
	inside := make(map[*value]bool)
	end := 0
	for i, c := range code {
		if c.segment == segment {
			layer, end = append(layer, c), i
			inside[c.out] = true
		}
	}
	delete(inside, code[end].out) // the next layer's input stays
	first := 0
	needed := make(map[*value]bool)
	for i, c := range code[end+1:] {
		for _, v := range c.in {
			if inside[v] {
				if len(needed) == 0 {
					first = end + 1 + i
				}
				needed[v] = true
			}
		}
	}
	if len(needed) == 0 {
		return code
	}
	again := make(map[*value]*value)
	var clones []*instr // last first
	for i := len(layer) - 1; i >= 0; i-- {
		c := layer[i]
		if !needed[c.out] {
			continue
		}
		again[c.out] = &value{arg: c.out.arg}
		clones = append(clones, &instr{op: c.op, out: again[c.out], in: append([]*value(nil), c.in...)})
		for _, v := range c.in {
			if inside[v] {
				needed[v] = true
			}
		}
	}
	out := append([]*instr(nil), code[:first]...)
	for i := len(clones) - 1; i >= 0; i-- {
		out = append(out, clones[i])
	}
	out = append(out, code[first:]...)
	for _, c := range out[first:] {
		for v, w := range again {
			c.replace(v, w)
		}
	}
	return out
}

// replace makes c read w in place of v.
func (c *instr) replace(v, w *value) {
	for i := range c.in {
		if c.in[i] == v {
			c.in[i] = w
		}
	}
}

// readers returns for each value the instructions that read it.
func readers(code []*instr) map[*value][]*instr {
	m := make(map[*value][]*instr)
	for _, c := range code {
		for _, v := range c.in {
			m[v] = append(m[v], c)
		}
	}
	return m
}

func without(code []*instr, gone map[*instr]bool) []*instr {
	var kept []*instr
	for _, c := range code {
		if !gone[c] {
			kept = append(kept, c)
		}
	}
	return kept
}
