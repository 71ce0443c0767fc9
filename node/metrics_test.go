package node

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"drystone/internal/gpu"
)

// scrape reads a real endpoint: values by name and labels.
func scrape(t *testing.T, addr string) map[string]float64 {
	t.Helper()
	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s: %s", resp.Status, text)
	}
	values := map[string]float64{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		i := strings.LastIndexByte(lines.Text(), ' ')
		if i < 0 || lines.Text()[0] == '#' {
			continue
		}
		if values[lines.Text()[:i]], err = strconv.ParseFloat(lines.Text()[i+1:], 64); err != nil {
			t.Fatal(err)
		}
	}
	return values
}

// Every metric has values at a real endpoint, and those of the network and of the rounds move as a run goes on.
func TestMetrics(t *testing.T) {
	cfg := tinyConfig(t, 77, 3, 2, nil)
	cfg.Edit = func(c *Config) { c.Cards = twoCards }
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	l, err := StartLocal(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a := l.Aggregators[0]
	addr, err := a.ServeMetrics(":0")
	if err != nil {
		t.Fatal(err)
	}
	trainer, err := l.Trainers[0].ServeMetrics("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(addr, "127.0.0.1:") {
		t.Errorf("metrics without a host are served on %s, want loopback", addr)
	}
	before := scrape(t, addr)
	awaitFinished(t, ctx, a)
	after := scrape(t, addr)
	for _, name := range []string{`drystone_rounds_certified{role="aggregator"}`, `drystone_topic_bytes_total{direction="in",role="aggregator",topic="shard/0"}`,
		`drystone_protocol_bytes_total{direction="out",protocol="gossip",role="aggregator"}`, "drystone_log_leaves", "drystone_raft_applied_index", "drystone_checks"} {
		if after[name] <= before[name] {
			t.Errorf("%s is %g, before %g", name, after[name], before[name])
		}
	}
	for name, want := range map[string]float64{
		`drystone_verdicts{result="passed"}`: 6, `drystone_verdicts{result="failed"}`: 0, `drystone_open_checks`: 0, `drystone_reach{reach="public",role="aggregator"}`: 1,
		`drystone_events_total{event="certified",role="aggregator"}`: 3, `drystone_events_total{event="finished",role="aggregator"}`: 1,
		`drystone_gpu_up{card="0",role="aggregator"}`: 1, `drystone_gpu_up{card="1",role="aggregator"}`: 0, `drystone_gpu_celsius{card="0",role="aggregator"}`: 71,
		`drystone_gpu_busy_ratio{card="0",role="aggregator"}`: 0.5, `drystone_gpu_throttled{by="heat",card="0",role="aggregator"}`: 1,
		`drystone_gpu_throttled{by="power",card="0",role="aggregator"}`: 0,
		`drystone_aggregators_reached{role="aggregator"}`:               4, `drystone_network_trouble{role="aggregator"}`: 0,
	} {
		if got, ok := after[name]; !ok || got != want {
			t.Errorf("%s is %g, want %g", name, got, want)
		}
	}
	ended := func(of map[string]float64, name string) (n float64) { // which duties fall on one aggregator is a matter of luck
		for key, v := range of {
			if strings.HasPrefix(key, name+"{") && strings.Contains(key, `result="done"`) {
				n += v
			}
		}
		return n
	}
	for _, name := range []string{"drystone_duties_total", "drystone_duty_seconds_total"} {
		if x, y := ended(before, name), ended(after, name); y <= x {
			t.Errorf("%s is %g, before %g", name, y, x)
		}
	}
	if after[`drystone_rounds_certified{role="aggregator"}`] != 3 || after[`drystone_phase{phase="finished"}`] != 1 || after[`drystone_round_phase_seconds{phase="train"}`] <= 0 {
		t.Errorf("at the end: %v", after)
	}
	if _, ok := after[`drystone_gpu_watts{card="1",role="aggregator"}`]; ok {
		t.Error("there is a number of a lost card")
	}
	mine := scrape(t, trainer)
	if want := float64(3 * l.spec.Train.Steps * uint32(l.spec.TokensPerStep())); mine[`drystone_trained_total{role="trainer"}`] != want {
		t.Errorf("the trainer trained %g tokens, want %g", mine[`drystone_trained_total{role="trainer"}`], want)
	}
	if mine[`drystone_call_seconds_count{call="commit",role="trainer"}`] < 3 || mine[`drystone_topic_bytes_total{direction="out",role="trainer",topic="shard/0"}`] == 0 || mine["go_goroutines"] == 0 {
		t.Errorf("trainer: %v", mine)
	}
	for _, m := range metricTable {
		if !slices.ContainsFunc(keysOf(after), func(k string) bool { return k == m.name || strings.HasPrefix(k, m.name+"{") }) {
			t.Errorf("no value of %s", m.name)
		}
	}
}

// twoCards reads one card and loses another.
func twoCards() ([]gpu.Card, error) {
	return []gpu.Card{
		{Index: 0, Name: "card", Memory: 24e9, Used: 2e9, Busy: 50, Celsius: 71, Watts: 200, PowerLimit: 350, Clock: 1800, Throttle: gpu.ThrottleHeat},
		{Index: 1, Err: gpu.ErrLost},
	}, nil
}

func keysOf(m map[string]float64) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	return keys
}

// docs/operating.md lists every metric and no other.
func TestMetricsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{callSeconds}
	for _, m := range metricTable {
		want = append(want, m.name)
	}
	for _, name := range want {
		if !strings.Contains(string(text), "| `"+name+"` |") {
			t.Errorf("docs/operating.md does not list %s", name)
		}
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "| `drystone_"); ok {
			name, _, _ = strings.Cut("drystone_"+name, "`")
			if !slices.Contains(want, name) {
				t.Errorf("docs/operating.md lists %s, which there is not", name)
			}
		}
	}
}
