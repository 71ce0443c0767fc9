package examples

import "math/rand/v2"

// The generators below make the data that a template trains on out of the box. They draw integers only and round every
// floating-point operation by itself, so that every machine makes the same bytes.

// Digits are 12 x 12 grey images of the ten digits: a 5 x 7 bitmap font, enlarged in height or width by a row or column
// at random, shifted by up to two pixels from the middle, with a brightness, a background and noise of their own.
const (
	digitSide  = 12
	glyphRows  = 7
	glyphCols  = 5
	digitCount = 10
)

var glyphs = [digitCount][glyphRows]string{
	{" ### ", "#   #", "#  ##", "# # #", "##  #", "#   #", " ### "},
	{"  #  ", " ##  ", "  #  ", "  #  ", "  #  ", "  #  ", " ### "},
	{" ### ", "#   #", "    #", "   # ", "  #  ", " #   ", "#####"},
	{" ### ", "#   #", "    #", "  ## ", "    #", "#   #", " ### "},
	{"   # ", "  ## ", " # # ", "#  # ", "#####", "   # ", "   # "},
	{"#####", "#    ", "#### ", "    #", "    #", "#   #", " ### "},
	{" ### ", "#    ", "#    ", "#### ", "#   #", "#   #", " ### "},
	{"#####", "    #", "   # ", "  #  ", " #   ", " #   ", " #   "},
	{" ### ", "#   #", "#   #", " ### ", "#   #", "#   #", " ### "},
	{" ### ", "#   #", "#   #", " ####", "    #", "    #", " ### "},
}

// Digits returns n images of digits with their classes.
func Digits(n int) *Raw {
	r := &Raw{Height: digitSide, Width: digitSide, Channels: 1, Count: n, Classes: digitCount}
	src := rand.NewChaCha8([32]byte([]byte("drystone/examples/digits/1\x00\x00\x00\x00\x00\x00")))
	below := func(n uint64) int { return int(src.Uint64() >> 32 * n >> 32) } // uniform to 2^-32
	for range n {
		digit := below(digitCount)
		r.Labels = append(r.Labels, int32(digit))
		r.Pixels = append(r.Pixels, drawDigit(&glyphs[digit], below)...)
	}
	return r
}

func drawDigit(glyph *[glyphRows]string, below func(uint64) int) []byte {
	tall, wide := below(glyphRows+1), below(glyphCols+1) // the row and column drawn twice, or none
	top, left := 1+below(4), 1+below(5)
	ink, paper := 120+below(100), below(40)
	image := make([]byte, 0, digitSide*digitSide)
	for y := range digitSide {
		for x := range digitSide {
			v := paper
			if gy, gx := source(y-top, tall), source(x-left, wide); gy >= 0 && gy < glyphRows && gx >= 0 && gx < glyphCols && glyph[gy][gx] == '#' {
				v = ink
			}
			v += below(71) - 35
			image = append(image, byte(min(max(v, 0), 255)))
		}
	}
	return image
}

// source maps a row or column of an enlarged glyph back to the glyph's own.
func source(i, twice int) int {
	if i > twice {
		return i - 1
	}
	return i
}

// Friedman returns n rows of the regression benchmark of Friedman (1991, Multivariate Adaptive Regression Splines): ten
// features, uniform on [0, 1), of which five matter, and
//
//	y = 10 sin(pi x1 x2) + 20 (x3 - 1/2)^2 + 10 x4 + 5 x5 + e
//
// with noise e of standard deviation 1, the sum of twelve uniforms less its mean.
func Friedman(n int) *Raw {
	const features = 10
	r := &Raw{Height: 1, Width: 1, Channels: features, Count: n, ValueCount: 1}
	src := rand.NewChaCha8([32]byte([]byte("drystone/examples/friedman/1\x00\x00\x00\x00")))
	uniform := func() float64 { return float64(src.Uint64()>>40) * 0x1p-24 } // exact, also in float32
	for range n {
		var x [features]float64
		for j := range x {
			x[j] = uniform()
			r.Features = append(r.Features, float32(x[j]))
		}
		noise := -6.0
		for range 12 {
			noise += uniform()
		}
		d := x[2] - 0.5
		y := float64(10*sinPi(float64(x[0]*x[1]))) + float64(20*float64(d*d))
		y += float64(10 * x[3])
		y += float64(5 * x[4])
		r.Values = append(r.Values, float32(y+noise))
	}
	return r
}

// sinPi returns sin(pi t) for t in [0, 1], by the Taylor series at 0 of the nearer end, to 1e-13.
func sinPi(t float64) float64 {
	const pi = 3.141592653589793
	z := float64(pi * min(t, 1-t))
	square := float64(z * z)
	sum, term := z, z
	for k := 2.0; k < 22; k += 2 {
		term = float64(-term*square) / float64(k*float64(k+1))
		sum += term
	}
	return sum
}
