package gpu

import "fmt"

// library is what is used of NVML. Calls are safe from several goroutines, as NVML is.
type library interface {
	Init() code
	Shutdown() code
	Driver() (string, code)
	Count() (int, code)
	Device(index int) (device, code)
}

// device is one card of a library.
type device interface {
	Name() (string, code)
	UUID() (string, code)
	Memory() (total, used uint64, c code)
	Busy() (uint32, code)               // percent
	Celsius() (uint32, code)            //
	Power() (uint32, code)              // milliwatts
	PowerLimit() (uint32, code)         // milliwatts
	Clock(kind uint32) (uint32, code)   // MHz
	Throttle() (uint64, code)           // NVML's set of reasons
	Processes() (all []Process, c code) // Busy is -1
	Shares() (busy map[int]int, c code) // percent of the multiprocessors by process, in the last moments
}

// NVML's numbers.
const (
	clockSM     = 1
	clockMemory = 2

	reasonPower    = 0x4
	reasonHardware = 0x8 | 0x80
	reasonHeat     = 0x20 | 0x40

	unavailable = 1<<64 - 1 // a number that the driver does not know
)

// code is what NVML returns.
type code uint32

const (
	success          code = 0
	notSupported     code = 3
	insufficientSize code = 7
	driverNotLoaded  code = 9
	libraryNotFound  code = 12
	functionNotFound code = 13
	isLost           code = 15
	resetRequired    code = 16
	versionMismatch  code = 18
)

var codeTexts = map[code]string{
	1: "not initialised", 2: "invalid argument", notSupported: "not supported", 4: "no permission", 6: "not found",
	insufficientSize: "a buffer is too small", 8: "power cables are not attached", driverNotLoaded: "the kernel module is not loaded",
	10: "time ran out", 11: "an interrupt does not arrive", libraryNotFound: "the library is not installed", functionNotFound: "the driver is too old",
	14: "the card's stored data is corrupt", isLost: "the card is lost", resetRequired: "the card must be reset", 17: "the system refuses access",
	versionMismatch: "the kernel module and the library are of different versions: restart the machine", 20: "out of memory",
	999: "unknown error",
}

// fail makes an error of a code, nil for success.
func (c code) fail(doing string) error {
	text, ok := codeTexts[c]
	if !ok {
		text = fmt.Sprintf("error %d", uint32(c))
	}
	switch c {
	case success:
		return nil
	case isLost, resetRequired:
		return fmt.Errorf("%s: %w", doing, ErrLost)
	case driverNotLoaded, libraryNotFound:
		return fmt.Errorf("%w: %s", ErrNoDriver, text)
	}
	return fmt.Errorf("%s: %w: %s", doing, ErrDriver, text)
}
