//go:build !cgo

package gpu

var nvmlNames = []string{"libnvidia-ml.so.1"}
