package models

import (
	"math"

	"drystone/internal/exact"
	"drystone/protocol"
)

// This file is an implementation of the families on examples in float64 with plain loops, as reference_test.go is one of
// the decoder. Convolution is written out over the image, not as a product.

// refAffine returns x Wᵀ + bias.
func refAffine(x, w, bias []float64) []float64 {
	out := len(bias)
	in := len(w) / out
	y := refLinear(x, w, len(x)/in, in, []int{out})
	for i := range y {
		y[i] += bias[i%out]
	}
	return y
}

func refEach(x []float64, f func(float64) float64) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = f(v)
	}
	return y
}

func refGELU(x float64) float64 {
	return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
}

func refReLU(x float64) float64 { return max(x, 0) }

// refWindows lists the windows of every position, (row, column, channel), with zeros outside the image.
func refWindows(x []float64, s exact.ConvShape) []float64 {
	var y []float64
	for b := range s.Batch {
		for h := range s.Height {
			for w := range s.Width {
				for i := h - 1; i <= h+1; i++ {
					for j := w - 1; j <= w+1; j++ {
						for c := range s.Channels {
							v := 0.0
							if i >= 0 && i < s.Height && j >= 0 && j < s.Width {
								v = x[((b*s.Height+i)*s.Width+j)*s.Channels+c]
							}
							y = append(y, v)
						}
					}
				}
			}
		}
	}
	return y
}

// refConv is a convolution of 3x3 with padding 1 and weights (out, 3, 3, in).
func refConv(x, w, bias []float64, s exact.ConvShape) []float64 {
	var y []float64
	for b := range s.Batch {
		for h := range s.Height {
			for at := range s.Width {
				for o := range bias {
					sum := bias[o]
					for i := range 3 {
						for j := range 3 {
							row, col := h+i-1, at+j-1
							if row < 0 || row >= s.Height || col < 0 || col >= s.Width {
								continue
							}
							for c := range s.Channels {
								sum += x[((b*s.Height+row)*s.Width+col)*s.Channels+c] * w[((o*3+i)*3+j)*s.Channels+c]
							}
						}
					}
					y = append(y, sum)
				}
			}
		}
	}
	return y
}

// refPool takes the maximum of squares of 2x2 and drops an odd last row and column.
func refPool(x []float64, s exact.ConvShape) []float64 {
	at := func(b, h, w, c int) float64 { return x[((b*s.Height+h)*s.Width+w)*s.Channels+c] }
	var y []float64
	for b := range s.Batch {
		for h := range s.Height / 2 {
			for w := range s.Width / 2 {
				for c := range s.Channels {
					y = append(y, max(at(b, 2*h, 2*w, c), at(b, 2*h, 2*w+1, c), at(b, 2*h+1, 2*w, c), at(b, 2*h+1, 2*w+1, c)))
				}
			}
		}
	}
	return y
}

// refOutputs runs a whole mlp or convnet on theta in the order of Layout.
func refOutputs(spec protocol.ModelSpec, theta, x []float64, batch int) []float64 {
	take := func(n int) []float64 { w := theta[:n]; theta = theta[n:]; return w }
	in := spec.Inputs
	if spec.Family == "mlp" {
		for range spec.Layers {
			x = refEach(refAffine(x, take(spec.Dim*in), take(spec.Dim)), refGELU)
			in = spec.Dim
		}
	} else {
		s := exact.ConvShape{Batch: batch, Height: spec.Height, Width: spec.Width, Channels: spec.Channels}
		for range spec.Layers {
			x = refEach(refConv(x, take(spec.Dim*9*s.Channels), take(spec.Dim), s), refReLU)
			s.Channels = spec.Dim
			x = refPool(x, s)
			s.Height, s.Width = s.Height/2, s.Width/2
		}
		in = s.Height * s.Width * spec.Dim
	}
	return refAffine(x, take(spec.Outputs*in), take(spec.Outputs))
}

// refLoss is the mean loss that spec names.
func refLoss(spec protocol.ModelSpec, logits []float64, in Inputs) float64 {
	if spec.Loss == "cross-entropy" {
		return refCrossEntropy(logits, in.Targets, spec.Outputs)
	}
	loss := 0.0
	for i, v := range in.Values {
		loss += math.Pow(logits[i]-float64(v), 2) / float64(len(in.Values))
	}
	return loss
}
