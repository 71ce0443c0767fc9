package cuda

import (
	"errors"
	"fmt"
)

// Errors of a card, each with what to do about it.
var (
	ErrNoDriver   = errors.New("no NVIDIA driver for computing")
	ErrOldDriver  = errors.New("NVIDIA's driver is too old: update it")
	ErrNoCard     = errors.New("no such card")
	ErrUnsuitable = errors.New("the card is too old: compute capability 6.0 or newer is needed (Pascal, 2016)")
	ErrMemory     = errors.New("the card is out of memory: close what else uses it, raise --max-vram, or train a part with --shards")
	ErrLost       = errors.New("the card does not answer any more (fell off the bus): check power and seating, then restart the machine")
	ErrFaulty     = errors.New("the card reports an error of its memory: lower its clocks, cool it, or replace it")
	ErrFailed     = errors.New("the card failed")
)

// result is what a function of the driver returns.
type result uint32

const (
	ok             result = 0
	outOfMemory    result = 2
	noDevice       result = 100
	invalidDevice  result = 101
	invalidImage   result = 200
	noBinary       result = 209
	eccError       result = 214
	invalidPTX     result = 218
	unsupportedPTX result = 222
	unavailable    result = 46
	stubLibrary    result = 34
	illegalAddress result = 700
	launchTimeout  result = 702
	contextGone    result = 709
	launchFailed   result = 719
	driverMismatch result = 803
	unknownError   result = 999
)

// known has what a result means and its name.
var known = map[result]struct {
	err  error
	text string
}{
	outOfMemory:    {ErrMemory, "CUDA_ERROR_OUT_OF_MEMORY"},
	noDevice:       {ErrNoCard, "CUDA_ERROR_NO_DEVICE"},
	invalidDevice:  {ErrNoCard, "CUDA_ERROR_INVALID_DEVICE"},
	invalidImage:   {ErrOldDriver, "CUDA_ERROR_INVALID_IMAGE"},
	noBinary:       {ErrUnsuitable, "CUDA_ERROR_NO_BINARY_FOR_GPU"},
	eccError:       {ErrFaulty, "CUDA_ERROR_ECC_UNCORRECTABLE"},
	invalidPTX:     {ErrOldDriver, "CUDA_ERROR_INVALID_PTX"},
	unsupportedPTX: {ErrOldDriver, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"},
	unavailable:    {ErrLost, "CUDA_ERROR_DEVICE_UNAVAILABLE"},
	stubLibrary:    {ErrNoDriver, "CUDA_ERROR_STUB_LIBRARY"},
	illegalAddress: {ErrFailed, "CUDA_ERROR_ILLEGAL_ADDRESS"},
	launchTimeout:  {ErrFailed, "CUDA_ERROR_LAUNCH_TIMEOUT: the system stopped a kernel, as it does on a card that also draws the screen"},
	contextGone:    {ErrLost, "CUDA_ERROR_CONTEXT_IS_DESTROYED"},
	launchFailed:   {ErrFailed, "CUDA_ERROR_LAUNCH_FAILED"},
	driverMismatch: {ErrOldDriver, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH: the kernel module and the library are of different versions, restart the machine"},
	unknownError:   {ErrLost, "CUDA_ERROR_UNKNOWN"},
}

// fail makes an error of a result, nil for ok.
func (r result) fail(doing string) error {
	if r == ok {
		return nil
	}
	if k, there := known[r]; there {
		return fmt.Errorf("%s: %w (%s)", doing, k.err, k.text)
	}
	return fmt.Errorf("%s: %w (CUDA error %d)", doing, ErrFailed, uint32(r))
}
