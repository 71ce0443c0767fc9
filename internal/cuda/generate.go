package cuda

import (
	_ "embed"
	"strings"
)

//go:generate clang-19 -x cuda --cuda-device-only --cuda-gpu-arch=sm_60 -nocudainc -nocudalib -std=c++17 -O2 -ffp-contract=off -S kernels/kernels.cu -o kernels.ptx

// kernelText is for any card from compute capability 6.0 on, with any driver from CUDA 8 on.
//
//go:embed kernels.ptx
var kernelText string

// kernelNames are the entry points of kernelText.
var kernelNames = entries(kernelText)

func entries(ptx string) (names []string) {
	for line := range strings.Lines(ptx) {
		if name, ok := strings.CutPrefix(line, ".visible .entry "); ok {
			names = append(names, strings.TrimRight(name, "(\n"))
		}
	}
	return names
}
