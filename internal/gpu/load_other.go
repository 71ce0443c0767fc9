//go:build !linux && !windows

package gpu

import (
	"fmt"
	"runtime"
)

func load() (library, error) {
	return nil, fmt.Errorf("%w: there is none for %s", ErrNoDriver, runtime.GOOS)
}
