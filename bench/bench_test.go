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
	"regexp"
	"slices"
	"strings"
	"testing"
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
		{"run codec-throughput no-such-figure", exitUsage, "no-such-figure"},
		{"run", exitUsage, "names"},
		{"run codec-throughput --runs -1", exitUsage, "--runs"},
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
	rows := runJSON(t, "codec-throughput")
	if len(rows) != 16 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, r := range rows {
		if r.Name != "codec-throughput" || r.Stats == nil || r.Value <= 0 || r.Runs != 1 || r.Unit == "" || r.Target != ">= 300" ||
			r.Met == "none" || r.Machine != thisMachine() || r.Command != "go run ./bench run codec-throughput" {
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
