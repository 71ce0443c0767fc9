package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain lets this program stand in for a Python with a peer, see TestPeer, and for itself, see TestStepMemory.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "train-steps" || os.Args[1] == "train-part") {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	if script := os.Getenv("BENCH_TEST_PEER"); script != "" {
		fmt.Println(script)
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			fmt.Printf("{\"seconds\": %s}\n", in.Text())
		}
		return
	}
	os.Exit(m.Run())
}

func names() (out []string) {
	for _, f := range figures {
		out = append(out, f.Name)
	}
	return out
}

func TestRegistry(t *testing.T) {
	form := regexp.MustCompile(`^[a-z]+(-[a-z0-9]+)*$`)
	seen := map[string]bool{"all": true} // which means every figure
	for _, f := range figures {
		if !form.MatchString(f.Name) || seen[f.Name] {
			t.Errorf("%q: not a name, or not unique", f.Name)
		}
		seen[f.Name] = true
		if f.What == "" || f.Unit == "" || f.Measure == nil || f.Limit <= 0 {
			t.Errorf("%s lacks something: %+v", f.Name, f)
		}
		if g := f.Target; g != (Target{}) && (g.Of != "value" && g.Of != "ratio" || !slices.Contains([]string{"<", "<=", ">="}, g.Cmp)) {
			t.Errorf("%s: target %+v", f.Name, g)
		}
	}
}

// headings returns the sections of a page.
func headings(page string) (out []string) {
	for line := range strings.Lines(page) {
		if name, ok := strings.CutPrefix(line, "## "); ok {
			out = append(out, strings.TrimSpace(name))
		}
	}
	return out
}

func TestListAndPageNameEveryFigure(t *testing.T) {
	var out, talk bytes.Buffer
	if code := run([]string{"list"}, &out, &talk); code != 0 {
		t.Fatalf("exit code %d: %s", code, &talk)
	}
	var listed []string
	for line := range strings.Lines(out.String()) {
		if fields := strings.Fields(line); len(fields) == 1 && line[0] != ' ' {
			listed = append(listed, strings.Fields(line)[0])
		}
	}
	if !slices.Equal(listed, names()) {
		t.Errorf("listed %v", listed)
	}
	published, err := os.ReadFile(filepath.Join("..", "docs", "figures.md"))
	if err != nil {
		t.Fatal(err)
	}
	if got := headings(string(published)); !slices.Equal(got, names()) {
		t.Errorf("docs/figures.md has %v, the registry %v: go run ./bench run all", got, names())
	}
}

func TestLookup(t *testing.T) {
	for _, tt := range []struct {
		in, want []string
	}{
		{[]string{"all"}, names()},
		{[]string{"wire-ratio", "all"}, names()},
		{[]string{"wire-ratio", "demo-loss", "wire-ratio"}, []string{"demo-loss", "wire-ratio"}},
		{[]string{"demo-loss", "loss"}, nil},
		{[]string{""}, nil},
	} {
		got, err := lookup(tt.in)
		var chosen []string
		for _, f := range got {
			chosen = append(chosen, f.Name)
		}
		if !slices.Equal(chosen, tt.want) || (err != nil) != (tt.want == nil) || err != nil && !errors.Is(err, errUnknown) {
			t.Errorf("%q: %v, %v", tt.in, chosen, err)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"run no-such-figure", exitUsage, "no-such-figure"},
		{"run codec-encode no-such-figure", exitUsage, "no-such-figure"},
		{"run", exitUsage, "names"},
		{"run codec-encode --runs -1", exitUsage, "--runs"},
		{"measure", exitUsage, "measure"},
		{"--help", 0, ""},
	} {
		var out, talk bytes.Buffer
		if code := run(strings.Fields(tt.args), &out, &talk); code != tt.code || !strings.Contains(talk.String(), tt.says) {
			t.Errorf("%s: exit code %d, said %q", tt.args, code, &talk)
		}
	}
}

// runJSON measures for real and decodes what is printed.
func runJSON(t *testing.T, args ...string) []Row {
	t.Helper()
	var out, talk bytes.Buffer
	if code := run(append([]string{"run", "--json", "--runs", "1", "--patience", "0"}, args...), &out, &talk); code != 0 {
		t.Fatalf("exit code %d: %s", code, &talk)
	}
	var rows []Row
	dec := json.NewDecoder(&out)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestMeasuresAndPrintsJSON(t *testing.T) {
	rows := runJSON(t, "codec-encode")
	if len(rows) != 4 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, r := range rows {
		if r.Name != "codec-encode" || r.Stats == nil || r.Value <= 0 || r.Runs != 1 || r.Unit == "" || r.Target != ">= 300" ||
			r.Met == "none" || r.Machine != thisMachine() || r.Command != "go run ./bench run codec-encode" {
			t.Errorf("%+v", r)
		}
	}
}

func TestSkipsWithoutThePeer(t *testing.T) {
	rows := runJSON(t, "gemm-vs-openblas", "--python", "no-such-python")
	if len(rows) != 1 || rows[0].Stats != nil || rows[0].Met != "none" || !strings.Contains(rows[0].Skipped, "no-such-python") {
		t.Errorf("%+v", rows)
	}
}

func TestMeasure(t *testing.T) {
	broken := errors.New("broken")
	e := &Env{Machine: Machine{CPU: "abacus"}}
	for name, tt := range map[string]struct {
		target Target
		row    Row
		err    error
		met    string
		fails  bool
	}{
		"none":          {row: Row{Stats: exactly(3, 1)}, met: "none"},
		"below":         {target: Target{"value", "<", 3}, row: Row{Stats: exactly(2.9, 1)}, met: "yes"},
		"not below":     {target: Target{"value", "<", 3}, row: Row{Stats: exactly(3, 1)}, met: "no"},
		"at most":       {target: Target{"value", "<=", 3}, row: Row{Stats: exactly(3, 1)}, met: "yes"},
		"not at most":   {target: Target{"value", "<=", 3}, row: Row{Stats: exactly(3.1, 1)}, met: "no"},
		"at least":      {target: Target{"value", ">=", 3}, row: Row{Stats: exactly(3, 1)}, met: "yes"},
		"ratio":         {target: Target{"ratio", "<", 1}, row: Row{Stats: exactly(3, 1), Other: &Other{"x", *exactly(4, 1)}}, met: "yes"},
		"ratio missed":  {target: Target{"ratio", "<", 1}, row: Row{Stats: exactly(3, 1), Other: &Other{"x", *exactly(2, 1)}}, met: "no"},
		"skipped":       {target: Target{"value", "<", 3}, err: fmt.Errorf("peer: %w", skipped("no abacus")), met: "none"},
		"failed":        {err: broken, fails: true},
		"failed by end": {err: context.Canceled, fails: true},
	} {
		f := Figure{Name: "f", Unit: "beads", Limit: time.Minute, Target: tt.target, Measure: func(context.Context, *Env) ([]Row, error) {
			if tt.err != nil {
				return nil, tt.err
			}
			return []Row{tt.row}, nil
		}}
		rows, err := f.measure(context.Background(), e)
		if tt.fails {
			if !errors.Is(err, tt.err) || len(rows) != 1 || !strings.HasPrefix(rows[0].Skipped, "failed: ") {
				t.Errorf("%s: %v, %v", name, rows, err)
			}
			continue
		}
		if err != nil || len(rows) != 1 || rows[0].Met != tt.met || rows[0].Machine != e.Machine || (rows[0].Skipped == "") != (tt.err == nil) {
			t.Errorf("%s: %+v, %v", name, rows, err)
		}
	}
	f := Figure{Name: "f", Limit: time.Minute, Measure: func(context.Context, *Env) ([]Row, error) { return nil, nil }}
	if _, err := f.measure(context.Background(), e); err == nil {
		t.Error("a figure without rows passes")
	}
}

// A figure that does not end within its limit keeps what it has; one that is interrupted from outside is an error.
func TestMeasureEnds(t *testing.T) {
	e := &Env{}
	f := Figure{Name: "f", Limit: time.Nanosecond, Measure: func(ctx context.Context, _ *Env) ([]Row, error) {
		<-ctx.Done()
		return []Row{{Case: "done", Stats: exactly(1, 1)}}, ctx.Err()
	}}
	rows, err := f.measure(context.Background(), e)
	if err != nil || len(rows) != 2 || rows[0].Value != 1 || !strings.Contains(rows[1].Skipped, "limit") {
		t.Errorf("%+v, %v", rows, err)
	}
	interrupted, cancel := context.WithCancel(context.Background())
	cancel()
	if rows, err := f.measure(interrupted, e); !errors.Is(err, context.Canceled) || rows != nil {
		t.Errorf("%+v, %v", rows, err)
	}
}

// One failing figure hides no other.
func TestGoesOnAfterAFailure(t *testing.T) {
	fine := Figure{Name: "fine", Limit: time.Minute, Measure: func(context.Context, *Env) ([]Row, error) {
		return []Row{{Stats: exactly(1, 1)}}, nil
	}}
	bad := fine
	bad.Name, bad.Measure = "bad", func(context.Context, *Env) ([]Row, error) { return nil, errors.New("broken\nin two") }
	var out, talk bytes.Buffer
	rows, err := measureAll(context.Background(), &terminal{&out, &talk}, &Env{Talk: &talk}, []Figure{bad, fine}, true)
	if err == nil || len(rows) != 2 || rows[0].Skipped != "failed: broken" || rows[1].Stats == nil || !strings.Contains(talk.String(), "skipped: bad") {
		t.Errorf("%+v, %v, %s", rows, err, &talk)
	}
}

func TestPage(t *testing.T) {
	rows := []Row{
		{Name: "a", Case: "x|y", Stats: &Stats{2, 1, 3, 5}, Unit: "s", Other: &Other{"them", *exactly(8, 5)}, Ratio: 0.25, Target: "< 3", Met: "yes", Note: "careful"},
		{Name: "b", Skipped: "no abacus", Target: "none", Met: "none"},
		{Name: "c", Stats: exactly(7777, 1), Target: "< 3", Met: "no", Busy: 0.5},
	}
	figures := []Figure{{Name: "a", What: "beads", Unit: "s"}, {Name: "b", What: "more"}, {Name: "c", What: "yet more"}, {Name: "d", What: "none"}}
	for i := range rows {
		rows[i].Machine.CPU = "abacus"
	}
	rows[1].Machine.CPU = "slide rule"
	got := string(page(figures, Machine{CPU: "abacus"}, rows))
	if !slices.Equal(headings(got), []string{"a", "b", "c", "d"}) {
		t.Errorf("headings %q", headings(got))
	}
	for _, want := range []string{
		"| x/y | 2 (1 to 3 in 5 runs) | them: 8 (the same in 5 runs) | 0.25 | yes |", "- x|y: careful",
		"- all: not measured here: no abacus", "- all: not measured here: other programs used 50 %", "Measured on: slide rule", "Not measured yet.",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "7777") {
		t.Errorf("publishes a value from a busy machine:\n%s", got)
	}
	again := []Row{{Name: "c", Case: "new"}, {Name: "d", Case: "new"}, {Name: "gone"}}
	var merged []string
	for _, r := range merge(figures, rows, again) {
		merged = append(merged, r.Name+r.Case)
	}
	if want := []string{"ax|y", "b", "cnew", "dnew"}; !slices.Equal(merged, want) {
		t.Errorf("merged to %q, want %q", merged, want)
	}
	for i := range rows {
		if line := text(&rows[i]); !strings.Contains(line, rows[i].Name) || strings.Contains(line, "\n") {
			t.Errorf("%q", line)
		}
	}
}

func TestSummary(t *testing.T) {
	for _, tt := range []struct {
		in   []float64
		want Stats
	}{
		{[]float64{4}, Stats{4, 4, 4, 1}},
		{[]float64{9, 1, 5}, Stats{5, 1, 9, 3}},
		{[]float64{4, 1, 2, 100}, Stats{3, 1, 100, 4}},
	} {
		before := slices.Clone(tt.in)
		if got := summary(tt.in); *got != tt.want || !slices.Equal(before, tt.in) {
			t.Errorf("%v: %+v, want %+v", before, *got, tt.want)
		}
	}
}

func TestTakeTurns(t *testing.T) {
	var order []string
	side := func(name string, x float64) side {
		return func() (float64, error) { order = append(order, name); return x, nil }
	}
	calm := func() load { return load{} }
	e := &Env{Talk: io.Discard, load: calm}
	got, err := e.takeTurns(t.Context(), 1, 2, side("a", 1), side("b", 2))
	if err != nil || *got.stats(0) != *exactly(1, 2) || *got.stats(1) != *exactly(2, 2) || got.busy != 0 || strings.Join(order, "") != "ababab" {
		t.Errorf("%+v, %v, %v", got, err, order)
	}
	if _, err := e.takeTurns(t.Context(), 0, 1, func() (float64, error) { return 0, os.ErrInvalid }); !errors.Is(err, os.ErrInvalid) {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.takeTurns(ended, 0, 1, side("a", 1)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Disturbed rounds are measured again as long as the patience lasts, and the calmest rounds count.
func TestPatience(t *testing.T) {
	for _, tt := range []struct {
		patience int
		foreign  []uint64 // ticks of 100 that others use, round by round
		values   []float64
		busy     float64
	}{
		{0, []uint64{0, 50}, []float64{0, 1}, 0.5},
		{1, []uint64{0, 50, 0}, []float64{0, 2}, 0},
		{5, []uint64{0, 3, 0}, []float64{0, 1}, 0}, // 3 % are noise
		{2, []uint64{90, 20, 30, 40}, []float64{1, 2}, 0.3},
	} {
		var now load
		n, rounds, reading := -1, tt.foreign, 0
		e := &Env{Talk: io.Discard, Patience: tt.patience, load: func() load {
			if reading++; reading%2 == 0 { // after a round
				now.total, now.busy = now.total+100, now.busy+rounds[n]
			}
			return now
		}}
		got, err := e.takeTurns(t.Context(), 0, 2, func() (float64, error) { n++; return float64(n), nil })
		if err != nil || got.busy != tt.busy || !slices.Equal(slices.Sorted(slices.Values([]float64{got.rounds[0].samples[0], got.rounds[1].samples[0]})), tt.values) {
			t.Errorf("patience %d, %v: %+v, %v", tt.patience, tt.foreign, got, err)
		}
	}
}

func TestForeignLoad(t *testing.T) {
	const system = "cpu  100 10 20 1000 50 5 5 10 0 0\ncpu0 1\n"
	self, child := "7 (a) b) c) R 1 1 1 0 -1 0 0 0 0 0 30 5 3 2 20 0\n", "9 (python) R 8 1 1 0 -1 0 0 0 0 0 7 0 0 0 20 0\n"
	between, other := "8 (sh) S 7 1 1 0 -1 0 0 0 0 0 1 1 1 1 20 0\n", "5 (x) R 1 1 1 0 -1 0 0 0 0 0 500 0 0 0 20 0\n"
	a := parseLoad(system, []string{self}, 7)
	if a != (load{total: 1200, busy: 150, own: 40}) {
		t.Fatalf("%+v", a)
	}
	if l := parseLoad(system, []string{child, other, "x", self, between}, 7); l.own != 40+4+7 {
		t.Errorf("with descendants: %+v", l)
	}
	for _, bad := range [][2]string{{"", self}, {system, ""}, {"cpu 1 2 3 x 5 6 7 8\n", self}, {system, "7 (a) R 1"}, {"intr 1 2 3 4 5 6 7 8", self}} {
		if l := parseLoad(bad[0], []string{bad[1]}, 7); l != (load{}) {
			t.Errorf("%q: %+v", bad, l)
		}
	}
	for _, tt := range []struct {
		b    load
		want float64
	}{
		{load{1300, 250, 140}, 0},  // all of it our own
		{load{1300, 200, 40}, 0.5}, // all of it others'
		{load{1300, 193, 80}, 0},   // 3 % are noise
		{load{1300, 150, 90}, 0},   // more own than busy: the clocks differ
		{load{1210, 160, 40}, 0},   // too short to say
		{load{}, 0},                // unknown
	} {
		if got := foreign(a, tt.b); tt.b != (load{}) && got != tt.want {
			t.Errorf("%+v: %v, want %v", tt.b, got, tt.want)
		}
	}
	if foreign(load{}, load{}) != 0 {
		t.Error("load where none is known")
	}
	if l := readLoad(); l.total > 0 && l.own > l.busy {
		t.Errorf("this machine: %+v", l)
	}
}

func TestParseDemo(t *testing.T) {
	const good = `{"final_loss": 2, "bigram_loss": 2.4, "bytes_up_per_peer_round": 10, "dense_bytes_per_peer_round": 400,
		"wall_seconds": 3, "tokens_per_second": 5, "state_digest": "00", "payouts": []}`
	if r, err := parseDemo([]byte(good)); err != nil || r.BytesUp != 10 {
		t.Errorf("%+v, %v", r, err)
	}
	for _, bad := range []string{"", "[]", strings.Replace(good, "final_loss", "loss", 1), strings.Replace(good, ": 10,", ": 0,", 1)} {
		if r, err := parseDemo([]byte(bad)); err == nil {
			t.Errorf("%q gave %+v", bad, r)
		}
	}
}

// A tiny demonstration goes through the real command and serves all who ask.
func TestDemoRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command and trains")
	}
	e, err := newEnv(&runCmd{}, &bytes.Buffer{})
	if err != nil {
		t.Skip(err)
	}
	defer e.close()
	if e.Machine.Path == "ref" {
		t.Skip("no vector kernels")
	}
	e.demo.args = []string{"--tiny", "--rounds", "1", "--peers", "2"}
	for range 2 {
		runs, err := e.demos(context.Background(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(runs) != 1 || runs[0].Rounds != 1 || runs[0].SpotChecks == 0 {
			t.Errorf("%+v", runs)
		}
	}
}

func TestPeer(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	e := &Env{Python: self, Threads: 2}
	start := func(hello string) (*peer, error) {
		t.Setenv("BENCH_TEST_PEER", hello)
		return e.startPeer(context.Background(), "")
	}
	p, err := start(`{"what": "abacus", "params": 7}`)
	if err != nil || p.hello.Params != 7 {
		t.Fatal(p, err)
	}
	if s, err := p.ask("0.25"); s != 0.25 || err != nil {
		t.Error(s, err)
	}
	for _, bad := range []string{"0", "-1", "x"} {
		if _, err := p.ask(bad); err == nil {
			t.Errorf("%s seconds pass", bad)
		}
	}
	if err := p.close(); err != nil {
		t.Error(err)
	}
	var skip skipped
	if _, err := start(`{"missing": "beads"}`); !errors.As(err, &skip) || !strings.Contains(string(skip), "beads") {
		t.Error(err)
	}
	if _, err := start("Traceback"); err == nil || errors.As(err, &skip) {
		t.Error(err)
	}
}

func TestDemosAgree(t *testing.T) {
	var d demoRuns
	for _, tt := range []struct {
		r  demoResult
		ok bool
	}{
		{demoResult{StateDigest: "a", FinalLoss: 2, WallSeconds: 1}, true},
		{demoResult{StateDigest: "a", FinalLoss: 2, WallSeconds: 9}, true},
		{demoResult{StateDigest: "b", FinalLoss: 2}, false},
		{demoResult{StateDigest: "a", FinalLoss: 3}, false},
	} {
		if err := d.add(&tt.r); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt.r, err)
		}
	}
	if len(d.done) != 2 {
		t.Errorf("%+v", d.done)
	}
}
