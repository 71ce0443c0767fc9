package models

import (
	"math/rand/v2"

	"drystone/protocol"
)

// Init returns the initial theta of spec: a function of spec and seed alone, the same bits on every machine.
//
// The order of draws is the order of Layout. Norm gains are 1, biases 0, and draw nothing. Every other element takes three
// consecutive 64-bit outputs of chacha8rand (C2SP) keyed with seed, cuts them into twelve 16-bit integers and adds these
// up (Irwin-Hall; sum s of mean 393210 and standard deviation 65536 to within 2^-33). The element is
//
//	float32(s - 393210) * c      one multiplication, rounded once; the integer is exact
//	c = float32(std / 65536)     std = 0.02, and 0.02 / sqrt(2*Layers) for o_proj and down_proj (GPT-2);
//	                             sqrt(2 / fan-in), and sqrt(1 / fan-in) / 4 for the head, of an mlp or convnet
//
// so no library function whose result varies between platforms takes part. Values stay within 6 standard deviations.
func Init(spec protocol.ModelSpec, seed [32]byte) ([]float32, error) {
	params, total, err := Layout(spec)
	if err != nil {
		return nil, err
	}
	f, err := familyOf(spec)
	if err != nil {
		return nil, err
	}
	theta := make([]float32, total)
	src := rand.NewChaCha8(seed)
	for _, p := range params {
		w := theta[p.Offset : p.Offset+p.Len]
		std, fill := f.start(spec, p)
		if std == 0 {
			for i := range w {
				w[i] = float32(fill)
			}
			continue
		}
		c := float32(std / 65536)
		for i := range w {
			w[i] = float32(irwinHall(src)) * c
		}
	}
	return theta, nil
}

// irwinHall returns the sum of twelve uniform 16-bit integers less its mean, in [-393210, 393210].
func irwinHall(src *rand.ChaCha8) int {
	s := -12 * 65535 / 2
	for range 3 {
		u := src.Uint64()
		s += int(u&0xffff) + int(u>>16&0xffff) + int(u>>32&0xffff) + int(u>>48)
	}
	return s
}
