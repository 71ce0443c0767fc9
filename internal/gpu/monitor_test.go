package gpu

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// fake is a library whose calls answer what a test says.
type fake struct {
	init    code
	cards   []fakeCard
	count   code
	handles map[int]code
}

type fakeCard struct {
	name      string
	numbers   map[string]uint32
	fails     map[string]code
	processes []Process
	shares    map[int]int
}

func (f *fake) Init() code                  { return f.init }
func (f *fake) Shutdown() code              { return success }
func (f *fake) Driver() (string, code)      { return "580.10", success }
func (f *fake) Count() (int, code)          { return len(f.cards), f.count }
func (f *fake) Device(i int) (device, code) { return &f.cards[i], f.handles[i] }

func (c *fakeCard) number(name string) (uint32, code) { return c.numbers[name], c.fails[name] }

func (c *fakeCard) Name() (string, code)       { return c.name, c.fails["name"] }
func (c *fakeCard) UUID() (string, code)       { return "GPU-" + c.name, success }
func (c *fakeCard) Busy() (uint32, code)       { return c.number("busy") }
func (c *fakeCard) Celsius() (uint32, code)    { return c.number("celsius") }
func (c *fakeCard) Power() (uint32, code)      { return c.number("power") }
func (c *fakeCard) PowerLimit() (uint32, code) { return c.number("limit") }
func (c *fakeCard) Clock(kind uint32) (uint32, code) {
	return c.number(map[uint32]string{clockSM: "clock", clockMemory: "memory clock"}[kind])
}
func (c *fakeCard) Throttle() (uint64, code) {
	v, r := c.number("throttle")
	return uint64(v), r
}
func (c *fakeCard) Memory() (uint64, uint64, code) {
	return uint64(c.numbers["total"]) << 20, uint64(c.numbers["used"]) << 20, c.fails["memory"]
}
func (c *fakeCard) Processes() ([]Process, code) { return c.processes, c.fails["processes"] }
func (c *fakeCard) Shares() (map[int]int, code)  { return c.shares, c.fails["shares"] }

func card() fakeCard {
	return fakeCard{
		name: "NVIDIA Test", fails: map[string]code{},
		numbers: map[string]uint32{
			"total": 24 << 10, "used": 3 << 10, "busy": 97, "celsius": 71, "power": 285500, "limit": 350000, "clock": 1920,
			"memory clock": 9501, "throttle": 0x4 | 0x20,
		},
		processes: []Process{{PID: 7, Memory: 1 << 30, Compute: true}, {PID: 8, Memory: -1}},
		shares:    map[int]int{7: 90},
	}
}

func TestReading(t *testing.T) {
	m, err := open(&fake{cards: []fakeCard{card()}})
	if err != nil || m.Driver() != "580.10" {
		t.Fatal(m, err)
	}
	got, err := m.Card(0)
	want := Card{UUID: "GPU-NVIDIA Test", Name: "NVIDIA Test", Memory: 24 << 30, Used: 3 << 30, Busy: 97, Celsius: 71, Watts: 285.5,
		PowerLimit: 350, Clock: 1920, MemoryClock: 9501, Throttle: ThrottlePower | ThrottleHeat,
		Processes: []Process{{7, 1 << 30, 90, true}, {8, -1, 0, false}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v\nwant %+v", got, err, want)
	}
	if s, want := got.String(), "NVIDIA Test, 3.2 of 25.8 GB used, 97 % busy, 71 C, 286 of 350 W, 1920 MHz, slowed by power, heat"; s != want {
		t.Errorf("%q, want %q", s, want)
	}
}

// What a card or its driver does not support is unknown, not 0 and no error.
func TestUnknown(t *testing.T) {
	c := card()
	for _, name := range []string{"memory", "busy", "celsius", "power", "limit", "clock", "memory clock", "throttle", "processes"} {
		c.fails[name] = notSupported
	}
	m, _ := open(&fake{cards: []fakeCard{c}})
	got, err := m.Card(0)
	want := Card{UUID: "GPU-NVIDIA Test", Name: "NVIDIA Test", Memory: -1, Used: -1, Busy: -1, Celsius: -1, Watts: -1, PowerLimit: -1, Clock: -1, MemoryClock: -1}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v\nwant %+v", got, err, want)
	}
	c = card()
	c.fails["shares"] = 6 // "not found": there are no samples
	m, _ = open(&fake{cards: []fakeCard{c}})
	if got, err := m.Card(0); err != nil || got.Processes[0].Busy != -1 {
		t.Errorf("%+v, %v", got.Processes, err)
	}
}

func TestFailures(t *testing.T) {
	for c, want := range map[code]error{libraryNotFound: ErrNoDriver, driverNotLoaded: ErrNoDriver, versionMismatch: ErrDriver, 12345: ErrDriver, isLost: ErrLost} {
		if _, err := open(&fake{init: c}); !errors.Is(err, want) {
			t.Errorf("code %d: %v, want %v", c, err, want)
		}
	}
	lost, bad := card(), card()
	lost.fails["celsius"], bad.fails["memory"] = isLost, 999
	m, err := open(&fake{cards: []fakeCard{lost, card(), bad, card()}, handles: map[int]code{3: resetRequired}})
	if err != nil {
		t.Fatal(err)
	}
	cards, err := m.Cards()
	if err != nil || len(cards) != 4 {
		t.Fatal(cards, err)
	}
	for i, want := range []error{ErrLost, nil, ErrDriver, ErrLost} {
		if got := cards[i].Err; !errors.Is(got, want) || want == nil && got != nil {
			t.Errorf("card %d: %v, want %v", i, got, want)
		}
	}
	if s := cards[3].String(); !strings.HasPrefix(s, "card 3: ") || strings.Contains(s, "\n") {
		t.Errorf("%q", s)
	}
	for _, i := range []int{-1, 4} {
		if _, err := m.Card(i); !errors.Is(err, ErrNoCard) {
			t.Errorf("card %d: %v", i, err)
		}
	}
	for range 2 {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := m.Cards(); !errors.Is(err, ErrDriver) {
		t.Errorf("after Close: %v", err)
	}
}

// On a machine without a driver Open says so; with one, every card can be read.
func TestThisMachine(t *testing.T) {
	m, err := Open()
	if errors.Is(err, ErrNoDriver) {
		t.Skip("skipped: no NVIDIA driver here (" + err.Error() + ")")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	cards, err := m.Cards()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cards {
		t.Log(m.Driver(), c)
		if c.Err != nil || c.Name == "" || c.Memory <= 0 {
			t.Errorf("%+v", c)
		}
	}
}

func TestChoice(t *testing.T) {
	for text, want := range map[string]Choice{"": {true, -1}, "auto": {true, -1}, "cpu": {false, -1}, "cuda": {false, 0}, "cuda:0": {false, 0}, "cuda:12": {false, 12}} {
		got, err := ParseChoice(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
		if again, err := ParseChoice(got.String()); err != nil || again != got {
			t.Errorf("%q comes back as %q", text, got)
		}
	}
	for _, text := range []string{"gpu", "cuda:", "cuda:-1", "cuda:1024", "cuda:1x", "CPU", "cuda:0,1"} {
		if c, err := ParseChoice(text); err == nil {
			t.Errorf("%q is taken for %v", text, c)
		}
	}
}
