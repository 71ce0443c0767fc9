package f64

import "math"

// RMSNorm returns x/sqrt(mean of squares + eps)*gain for rows of x (rows,dim).
func RMSNorm(x, gain []float64, rows, dim int, eps float64) []float64 {
	y := make([]float64, rows*dim)
	for i := range rows {
		row := x[i*dim:][:dim]
		r := 1 / math.Sqrt(Dot(row, row)/float64(dim)+eps)
		for j, v := range row {
			y[i*dim+j] = v * r * gain[j]
		}
	}
	return y
}

// RMSNormBackward returns dx (rows,dim) and dgain (dim).
func RMSNormBackward(dy, x, gain []float64, rows, dim int, eps float64) (dx, dgain []float64) {
	dx, dgain = make([]float64, rows*dim), make([]float64, dim)
	for i := range rows {
		row, d := x[i*dim:][:dim], dy[i*dim:][:dim]
		r, c := 1/math.Sqrt(Dot(row, row)/float64(dim)+eps), 0.0
		for j, v := range row {
			dgain[j] += d[j] * v * r
			c += d[j] * gain[j] * v * r / float64(dim)
		}
		for j, v := range row {
			dx[i*dim+j] = r * (d[j]*gain[j] - v*r*c)
		}
	}
	return dx, dgain
}

// LayerNorm returns (x-mean)/sqrt(variance + eps)*gain + bias for rows of x
// (rows,dim).
func LayerNorm(x, gain, bias []float64, rows, dim int, eps float64) []float64 {
	y := make([]float64, rows*dim)
	for i := range rows {
		h, _ := normalized(x[i*dim:][:dim], eps)
		for j, v := range h {
			y[i*dim+j] = v*gain[j] + bias[j]
		}
	}
	return y
}

// LayerNormBackward returns dx (rows,dim), dgain and dbias (dim).
func LayerNormBackward(dy, x, gain []float64, rows, dim int, eps float64) (dx, dgain, dbias []float64) {
	dx, dgain, dbias = make([]float64, rows*dim), make([]float64, dim), BiasBackward(dy, rows, dim)
	for i := range rows {
		h, r := normalized(x[i*dim:][:dim], eps)
		d := dy[i*dim:][:dim]
		var b, c float64
		for j, v := range h {
			dgain[j] += d[j] * v
			b += d[j] * gain[j] / float64(dim)
			c += d[j] * gain[j] * v / float64(dim)
		}
		for j, v := range h {
			dx[i*dim+j] = r * (d[j]*gain[j] - b - v*c)
		}
	}
	return dx, dgain, dbias
}

// normalized returns a row with mean 0 and variance 1, and what it was
// multiplied by.
func normalized(row []float64, eps float64) (h []float64, r float64) {
	mean := Sum(row) / float64(len(row))
	h = apply(row, func(v float64) float64 { return v - mean })
	r = 1 / math.Sqrt(Dot(h, h)/float64(len(row))+eps)
	return apply(h, func(v float64) float64 { return v * r }), r
}
