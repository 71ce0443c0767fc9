package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drystone/gossip"
	"drystone/internal/cuda"
	"drystone/internal/exact"
	"drystone/internal/gpu"
	"drystone/node"
	"drystone/protocol"
)

// The doctor looks at a run of four aggregators in this process: everything is measured, and nothing is bad.
func TestDoctorOfARun(t *testing.T) {
	data := []byte(strings.Repeat("many hands build a wall that no mortar holds. ", 500))
	cfg := node.LocalConfig{Data: data, Dir: t.TempDir(), Threads: 1}
	for i := range 4 {
		cfg.Aggregators = append(cfg.Aggregators, protocol.DeriveKey(41, "aggregator-"+string(rune('0'+i))))
	}
	spec := node.TinySpec(41, 2, 1)
	spec.Founder = cfg.Aggregators[0].ID()
	cfg.Spec = node.WithData(spec, data)
	l, err := node.StartLocal(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	code, out, errOut := command(t, "doctor", l.Link.String(), "--dir", t.TempDir(), "--json")
	var d diagnosis
	if err := json.Unmarshal([]byte(out), &d); err != nil || code != 0 || !d.OK || errOut != "" {
		t.Fatalf("exit code %d, %v\n%s%s", code, err, out, errOut)
	}
	found := map[string]finding{}
	for _, f := range d.Findings {
		found[f.Name] = f
	}
	for name, text := range map[string]string{
		"run": "4 of 4 aggregators answer, 3 are needed", "nat": "the run is on this machine", "clock": "the median of 4 aggregators",
		"upload": "Mbit/s", "download": "Mbit/s", "disk": "GB free", "cpu": "the run's model", "memory": "GB free",
	} {
		if f := found[name]; !strings.Contains(f.Found, text) || f.State == bad {
			t.Errorf("%s: %+v, want %q", name, f, text)
		}
	}
}

// What each measurement means.
func TestFindings(t *testing.T) {
	probe := func(seen string, offset time.Duration) gossip.Probe {
		return gossip.Probe{Seen: seen, Offset: offset, Took: 40 * time.Millisecond}
	}
	cone := []gossip.Probe{probe("/ip4/1.2.3.4/udp/5000/quic-v1", 0), probe("/ip4/1.2.3.4/udp/5000/quic-v1", 0)}
	symmetric := []gossip.Probe{probe("/ip4/1.2.3.4/udp/5000/quic-v1", 0), probe("/ip4/1.2.3.4/udp/5001/quic-v1", 0)}
	slow := node.Survey{Up: 0.5, Down: 100}
	clock := func(offsets ...time.Duration) finding {
		var p []gossip.Probe
		for _, o := range offsets {
			p = append(p, probe("", o))
		}
		return clockFinding(p)
	}
	for _, c := range []struct {
		got         finding
		state, text string // of what was found and the advice
	}{
		{runFinding(node.Survey{Aggregators: 4, Threshold: 3, Probes: make([]gossip.Probe, 4)}), well, "4 of 4"},
		{runFinding(node.Survey{Aggregators: 4, Threshold: 3, Probes: make([]gossip.Probe, 3)}), warn, "firewall"},
		{runFinding(node.Survey{Aggregators: 4, Threshold: 3, Probes: make([]gossip.Probe, 2)}), bad, "cannot go on"},
		{natFinding(cone, gossip.ReachPublic, nil), well, "reachable from outside"},
		{natFinding(cone, gossip.ReachPrivate, nil), warn, "holes can be punched"},
		{natFinding(symmetric, gossip.ReachPrivate, nil), warn, "holes cannot be punched"},
		{natFinding(symmetric, gossip.ReachOut, nil), well, "not offered"},
		{natFinding(cone, gossip.ReachAuto, nil), warn, "no neighbour has said"},
		{natFinding(cone, gossip.ReachPrivate, []string{"/ip4/1.2.3.4/tcp/1"}), warn, "forwarding"},
		{natFinding(nil, gossip.ReachAuto, nil), warn, "no aggregator"},
		{natFinding([]gossip.Probe{probe("/ip4/127.0.0.1/tcp/9", 0)}, gossip.ReachOut, nil), well, "on this machine"},
		{natFinding([]gossip.Probe{probe("no multiaddr", 0)}, gossip.ReachOut, nil), warn, "no aggregator"},
		{clock(0, time.Millisecond, 0), well, "0s ahead"},
		{clock(time.Hour, 0, 0), well, "0s ahead"}, // one liar does not move the median
		{clock(time.Minute, time.Minute, 0), warn, "1m0s behind"},
		{clock(-time.Minute, -time.Minute, 0), warn, "1m0s ahead"},
		{clock(), warn, "nobody"},
		{bandFindings(slow)[0], warn, "0.5 Mbit/s"},
		{bandFindings(slow)[1], well, "100.0 Mbit/s"},
		{bandFindings(node.Survey{})[1], warn, "not measured"},
		{arithmeticFinding(nil), well, "every kernel"},
		{arithmeticFinding(fmt.Errorf("%w: gemm on avx2", exact.ErrWrong)), bad, "overclocked"},
		{cardFinding(gpu.Card{Index: 1, Name: "Some card", Celsius: 50}, "550", nil), well, "card 1: Some card, "},
		{cardFinding(gpu.Card{Index: 1, Err: gpu.ErrLost}, "550", nil), warn, "fell off the bus"},
		{cardFinding(gpu.Card{Throttle: gpu.ThrottleHeat}, "550", nil), warn, "clean its fans"},
		{cardFinding(gpu.Card{Throttle: gpu.ThrottleHeat | gpu.ThrottleHardware}, "550", nil), warn, "power supply"},
		{cardFinding(gpu.Card{}, "550", cuda.ErrOldDriver), warn, "too old: update it"},
	} {
		if text := c.got.Found + " | " + c.got.Advice; c.got.State != c.state || !strings.Contains(text, c.text) {
			t.Errorf("%s: %s %q, want %s %q", c.got.Name, c.got.State, text, c.state, c.text)
		}
	}
}

// A directory that cannot be written is bad; one that is still to be made is looked for above.
func TestExamineDisk(t *testing.T) {
	dir := t.TempDir()
	if at := existing(filepath.Join(dir, "a", "b")); at != dir {
		t.Errorf("examined %s, want %s", at, dir)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := syncTime(file); err == nil || errors.Is(err, fs.ErrExist) {
		t.Errorf("wrote into a file: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".drystone-doctor-*")); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
