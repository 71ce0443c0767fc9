package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestMain lets this program stand in for a Python with a peer: see TestPeer.
func TestMain(m *testing.M) {
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
		if f.What == "" || f.Unit == "" || f.Measure == nil {
			t.Errorf("%s lacks something: %+v", f.Name, f)
		}
		if g := f.Target; g != (Target{}) && (g.Of != "value" && g.Of != "ratio" || g.Cmp != "<" && g.Cmp != ">=") {
			t.Errorf("%s: target %+v", f.Name, g)
		}
	}
}

// column returns the first column of a Markdown table, without repetitions.
func column(page string) []string {
	var out []string
	for line := range strings.Lines(page) {
		if cells := strings.Split(line, "|"); len(cells) == 11 && !strings.HasPrefix(cells[1], "--") {
			out = append(out, strings.TrimSpace(cells[1]))
		}
	}
	return slices.Compact(out)
}

func TestListAndPageNameEveryFigure(t *testing.T) {
	var out, talk bytes.Buffer
	if code := run([]string{"list"}, &out, &talk); code != 0 {
		t.Fatalf("exit code %d: %s", code, &talk)
	}
	var listed []string
	for line := range strings.Lines(out.String()) {
		if line[0] != ' ' {
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
	if got, want := column(string(published)), append([]string{"figure"}, names()...); !slices.Equal(got, want) {
		t.Errorf("docs/figures.md has %v, the registry %v: go run ./bench run all", got, want)
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
	if code := run(append([]string{"run", "--json", "--runs", "1"}, args...), &out, &talk); code != 0 {
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
		"at least":      {target: Target{"value", ">=", 3}, row: Row{Stats: exactly(3, 1)}, met: "yes"},
		"ratio":         {target: Target{"ratio", "<", 1}, row: Row{Stats: exactly(3, 1), Other: &Other{"x", *exactly(4, 1)}}, met: "yes"},
		"ratio missed":  {target: Target{"ratio", "<", 1}, row: Row{Stats: exactly(3, 1), Other: &Other{"x", *exactly(2, 1)}}, met: "no"},
		"skipped":       {target: Target{"value", "<", 3}, err: fmt.Errorf("peer: %w", skipped("no abacus")), met: "none"},
		"failed":        {err: broken, fails: true},
		"failed by end": {err: context.Canceled, fails: true},
	} {
		f := Figure{Name: "f", Unit: "beads", Target: tt.target, Measure: func(context.Context, *Env) ([]Row, error) {
			if tt.err != nil {
				return nil, tt.err
			}
			return []Row{tt.row}, nil
		}}
		rows, err := f.measure(context.Background(), e)
		if tt.fails {
			if !errors.Is(err, tt.err) {
				t.Errorf("%s: %v, %v", name, rows, err)
			}
			continue
		}
		if err != nil || len(rows) != 1 || rows[0].Met != tt.met || rows[0].Machine != e.Machine || (rows[0].Skipped == "") != (tt.err == nil) {
			t.Errorf("%s: %+v, %v", name, rows, err)
		}
	}
	f := Figure{Name: "f", Measure: func(context.Context, *Env) ([]Row, error) { return nil, nil }}
	if _, err := f.measure(context.Background(), e); err == nil {
		t.Error("a figure without rows passes")
	}
}

func TestPage(t *testing.T) {
	rows := []Row{
		{Name: "a", Case: "x|y", Stats: &Stats{2, 1, 3, 5}, Unit: "s", Other: &Other{"them", *exactly(8, 5)}, Ratio: 0.25, Target: "< 3", Met: "yes", Note: "careful"},
		{Name: "b", Skipped: "no abacus", Target: "none", Met: "none"},
		{Name: "c", Stats: exactly(7777, 1), Target: "< 3", Met: "no", Busy: 0.5},
	}
	got := string(page(Machine{CPU: "abacus"}, rows))
	if !slices.Equal(column(got), []string{"figure", "a", "b", "c"}) {
		t.Errorf("first column %q", column(got))
	}
	for _, want := range []string{
		"| a | x/y | 2 (1 to 3 in 5 runs) | s | < 3 | yes | them: 8 (the same in 5 runs) | 0.25 |", "- a x|y: careful",
		"| b |  | not measured here: no abacus |", "| c |  | not measured here: other programs used 50 %",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "7777") {
		t.Errorf("publishes a value from a busy machine:\n%s", got)
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
	side := func(name string, x float64) func() (float64, error) {
		return func() (float64, error) { order = append(order, name); return x, nil }
	}
	got, err := takeTurns(2, side("a", 1), side("b", 2))
	if err != nil || !reflect.DeepEqual(got, [][]float64{{1, 1}, {2, 2}}) || strings.Join(order, "") != "abab" {
		t.Errorf("%v, %v, %v", got, err, order)
	}
	if _, err := takeTurns(1, func() (float64, error) { return 0, os.ErrInvalid }); !errors.Is(err, os.ErrInvalid) {
		t.Error(err)
	}
}

func TestForeignLoad(t *testing.T) {
	const system, self = "cpu  100 10 20 1000 50 5 5 10 0 0\ncpu0 1\n", "7 (a) b) c) R 1 1 1 0 -1 0 0 0 0 0 30 5 3 2 20 0\n"
	a := parseLoad(system, self)
	if a != (load{total: 1200, busy: 150, own: 40}) {
		t.Fatalf("%+v", a)
	}
	for _, bad := range [][2]string{{"", self}, {system, ""}, {"cpu 1 2 3 x 5 6 7 8\n", self}, {system, "7 (a) R 1"}, {"intr 1 2 3 4 5 6 7 8", self}} {
		if l := parseLoad(bad[0], bad[1]); l != (load{}) {
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
