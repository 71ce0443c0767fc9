package gpu

import (
	"fmt"
	"sync"
)

// Monitor reads the cards of this machine.
type Monitor struct {
	lib    library
	driver string

	mu     sync.Mutex // a Close waits for readings
	closed bool
}

// Open finds the driver. It returns an error that wraps ErrNoDriver where there is none, and one that wraps ErrDriver where
// there is one that does not work.
func Open() (*Monitor, error) {
	lib, err := load()
	if err != nil {
		return nil, err
	}
	return open(lib)
}

func open(lib library) (*Monitor, error) {
	if err := lib.Init().fail("open NVIDIA's driver"); err != nil {
		return nil, err
	}
	m := &Monitor{lib: lib}
	version, c := lib.Driver()
	if c != success {
		version = "of unknown version"
	}
	m.driver = version
	return m, nil
}

// Driver returns the driver's version.
func (m *Monitor) Driver() string { return m.driver }

// Close lets go of the driver. Later readings fail; a second Close does nothing.
func (m *Monitor) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	return m.lib.Shutdown().fail("close NVIDIA's driver")
}

// Cards reads all cards, in the driver's order. A card that cannot be read has an Err; the others are not affected. The error
// is that of the driver as a whole.
func (m *Monitor) Cards() ([]Card, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, fmt.Errorf("%w: it is closed", ErrDriver)
	}
	n, c := m.lib.Count()
	if err := c.fail("count cards"); err != nil {
		return nil, err
	}
	out := make([]Card, min(n, maxCards))
	for i := range out {
		out[i] = m.read(i)
	}
	return out, nil
}

// maxCards bounds what a driver is believed.
const maxCards = 1024

// Card reads one card. The error wraps ErrNoCard, ErrLost or ErrDriver.
func (m *Monitor) Card(index int) (Card, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return Card{}, fmt.Errorf("%w: it is closed", ErrDriver)
	}
	if n, c := m.lib.Count(); c == success && (index < 0 || index >= n) {
		return Card{}, fmt.Errorf("%w: cuda:%d, this machine has %d cards", ErrNoCard, index, n)
	}
	card := m.read(index)
	return card, card.Err
}

// read reads a card; mu is held. What is not supported is unknown; what fails for another reason fails the reading.
func (m *Monitor) read(index int) Card {
	d, c := m.lib.Device(index)
	card := Card{Index: index, Memory: -1, Used: -1, Busy: -1, Celsius: -1, Watts: -1, PowerLimit: -1, Clock: -1, MemoryClock: -1}
	r := reader{err: c.fail(fmt.Sprintf("card %d", index))}
	if r.err != nil {
		card.Err = r.err
		return card
	}
	card.Name, c = d.Name()
	r.ok(c, "name")
	card.UUID, c = d.UUID()
	r.ok(c, "UUID")
	if total, used, c := d.Memory(); r.ok(c, "memory") {
		card.Memory, card.Used = known(total), known(used)
	}
	r.number(&card.Busy, "utilisation", d.Busy)
	r.number(&card.Celsius, "temperature", d.Celsius)
	r.watts(&card.Watts, "power", d.Power)
	r.watts(&card.PowerLimit, "power limit", d.PowerLimit)
	r.number(&card.Clock, "clock", func() (uint32, code) { return d.Clock(clockSM) })
	r.number(&card.MemoryClock, "memory clock", func() (uint32, code) { return d.Clock(clockMemory) })
	if reasons, c := d.Throttle(); r.ok(c, "clock reasons") {
		card.Throttle = throttleOf(reasons)
	}
	card.Processes = r.processes(d)
	card.Err = r.err
	return card
}

func known(n uint64) int64 {
	if n > 1<<63-1 {
		return -1
	}
	return int64(n)
}

func throttleOf(reasons uint64) (t Throttle) {
	for bits, why := range map[uint64]Throttle{reasonPower: ThrottlePower, reasonHeat: ThrottleHeat, reasonHardware: ThrottleHardware} {
		if reasons&bits != 0 {
			t |= why
		}
	}
	return t
}

// reader keeps the first error of a reading.
type reader struct{ err error }

// ok reports whether a call gave something.
func (r *reader) ok(c code, what string) bool {
	if c != success && c != notSupported && c != functionNotFound && r.err == nil {
		r.err = c.fail("read " + what)
	}
	return c == success
}

func (r *reader) number(to *int, what string, get func() (uint32, code)) {
	if n, c := get(); r.ok(c, what) && n < 1<<31 {
		*to = int(n)
	}
}

func (r *reader) watts(to *float64, what string, get func() (uint32, code)) {
	if n, c := get(); r.ok(c, what) {
		*to = float64(n) / 1000
	}
}

// processes joins those that have the card open with what they take of it. The share of a process without a sample is
// unknown unless others have one.
func (r *reader) processes(d device) []Process {
	all, c := d.Processes()
	if !r.ok(c, "processes") {
		return nil
	}
	shares, c := d.Shares()
	sampled := c == success && len(shares) > 0 // other codes too: without samples it says "not found"
	for i := range all {
		all[i].Busy = -1
		if sampled {
			all[i].Busy = shares[all[i].PID]
		}
	}
	return all
}
