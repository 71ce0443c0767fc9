package exact

// addRow computes y = a+b over len(y) elements in the calling goroutine.
func (e *Engine) addRow(y, a, b []float32) {
	done := 0
	if e.vec != nil {
		var n16 int
		if n16, done = blocks16(len(y)); n16 > 0 {
			e.vec.add(&y[0], &a[0], &b[0], n16)
		}
	}
	for i := done; i < len(y); i++ {
		y[i] = a[i] + b[i]
	}
}

// subRow computes y = a-b over len(y) elements in the calling goroutine.
func (e *Engine) subRow(y, a, b []float32) {
	done := 0
	if e.vec != nil {
		var n16 int
		if n16, done = blocks16(len(y)); n16 > 0 {
			e.vec.sub(&y[0], &a[0], &b[0], n16)
		}
	}
	for i := done; i < len(y); i++ {
		y[i] = a[i] - b[i]
	}
}

// divRow computes y = x/k over len(y) elements in the calling goroutine.
func (e *Engine) divRow(y, x []float32, k float32) {
	done := 0
	if e.vec != nil {
		var n16 int
		if n16, done = blocks16(len(y)); n16 > 0 {
			e.vec.divDiv(&y[0], &x[0], n16, k, 1)
		}
	}
	for i := done; i < len(y); i++ {
		y[i] = x[i] / k
	}
}
