package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"drystone/models"
	"drystone/verify"
)

// command runs drystone in this process.
func command(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	in, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var o, e bytes.Buffer
	code = run(args, in, &o, &e)
	return code, o.String(), e.String()
}

// oneError wants a failure that is told in one line holding every text.
func oneError(t *testing.T, want int, texts []string, args ...string) {
	t.Helper()
	code, _, errOut := command(t, args...)
	lines := strings.Split(strings.TrimSpace(errOut), "\n")
	last := lines[len(lines)-1]
	if code != want || strings.Count(errOut, "drystone: ") != 1 || !strings.HasPrefix(last, "drystone: ") || strings.Contains(errOut, "goroutine ") {
		t.Errorf("drystone %q: exit code %d, want %d, and one line of error:\n%s", args, code, want, errOut)
	}
	for _, text := range texts {
		if !strings.Contains(last, text) {
			t.Errorf("drystone %q: the error does not say %q: %s", args, text, last)
		}
	}
}

func damage(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 4
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func glob(t *testing.T, pattern ...string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(pattern...))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, %d files", filepath.Join(pattern...), err, len(files))
	}
	return files
}

// The demonstration, small: everyone honest is paid, the cheat is caught, every proof audits, no bit of one changes
// unnoticed, and the model comes out as safetensors.
func TestDemo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	code, out, errOut := command(t, "demo", "--tiny", "--rounds", "6", "--peers", "3", "--dir", dir, "--json")
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, errOut)
	}
	if strings.Contains(errOut, "WARN") || strings.Contains(errOut, "panic") {
		t.Errorf("trouble on standard error:\n%s", errOut)
	}
	var r demoResult
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	t.Run("result", func(t *testing.T) { checkDemo(t, out, &r) })
	t.Run("audit", func(t *testing.T) { auditDemo(t, &r, dir) })
	t.Run("export", func(t *testing.T) { exportDemo(t, &r, dir) })
	oneError(t, 2, []string{dir, "not empty"}, "demo", "--tiny", "--dir", dir)
}

func checkDemo(t *testing.T, out string, r *demoResult) {
	var fields map[string]any
	if err := json.Unmarshal([]byte(out), &fields); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"run_id", "rounds", "peers", "params", "initial_loss", "final_loss", "bytes_up_per_peer_round", "dense_bytes_per_peer_round",
		"spot_checks", "accused", "honest_accused", "payouts", "proofs_dir", "wall_seconds", "tokens_per_second", "state_digest"} {
		if _, ok := fields[f]; !ok {
			t.Errorf("no field %s", f)
		}
	}
	cheat := r.Payouts[2].Peer
	if len(r.Accused) != 1 || r.Accused[0] != cheat || r.HonestAccused != 0 {
		t.Errorf("accused %v, of them honest %d; the cheat is %s", r.Accused, r.HonestAccused, cheat)
	}
	if r.SpotChecks != 18 || r.FinalLoss >= r.InitialLoss || r.BytesUp*10 > r.DenseBytes || r.StateDigest.IsZero() {
		t.Errorf("%d checks, loss %f to %f, %d bytes instead of %d, state %s", r.SpotChecks, r.InitialLoss, r.FinalLoss, r.BytesUp, r.DenseBytes, r.StateDigest)
	}
	for i, p := range r.Payouts {
		want := "7680000000000000000" // 6 rounds x 10 steps x 4 x 32 tokens x 1000 per million
		if p.Peer == cheat {
			want = "5120000000000000000" // epoch 1, rounds 0 to 3; it cheats in epoch 2 only
		}
		if p.Balance != want {
			t.Errorf("trainer %d has %s, want %s", i, p.Balance, want)
		}
	}
}

func auditDemo(t *testing.T, r *demoResult, dir string) {
	files := glob(t, r.ProofsDir, "*.proof")
	if len(files) != 18 {
		t.Errorf("%d proofs, want 18", len(files))
	}
	fabricated := glob(t, r.ProofsDir, "round-004-"+r.Accused[0].Short()+".proof")[0]
	for _, file := range []string{files[0], fabricated, files[len(files)-1]} {
		code, out, errOut := command(t, "audit", file, "--run", r.RunID.String(), "--blobs", filepath.Join(dir, "aggregator-0", "blobs"), "--json")
		var report verify.Report
		if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 {
			t.Fatalf("audit of %s: exit code %d, %v\n%s", file, code, err, errOut)
		}
		guilty := report.Peer == r.Accused[0] && report.Round >= cheatFrom
		if refuted := report.Standing == verify.StandingRefuted; refuted != guilty || !report.Pinned {
			t.Errorf("%s: standing %q, pinned %v", file, report.Standing, report.Pinned)
		}
	}
	if _, out, _ := command(t, "audit", files[0]); !strings.Contains(out, "UNPINNED") {
		t.Errorf("an audit without --run does not say that it is unpinned:\n%s", out)
	}
	oneError(t, 1, []string{"run"}, "audit", files[0], "--run", strings.Repeat("ab", 32))
	proof, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad.proof")
	for i := range 6 { // package node flips more of them
		flipped := slices.Clone(proof)
		flipped[(2*i+1)*len(proof)/12] ^= 1 << i
		if err := os.WriteFile(bad, flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		oneError(t, 1, []string{"audit of " + bad + ": "}, "audit", bad, "--run", r.RunID.String())
	}
}

func exportDemo(t *testing.T, r *demoResult, dir string) {
	source, model := filepath.Join(dir, "aggregator-0"), filepath.Join(t.TempDir(), "model")
	if code, _, errOut := command(t, "export", source, "-o", model); code != 0 {
		t.Fatalf("exit code %d\n%s", code, errOut)
	}
	readModel(t, model, r.Params, r.StateDigest.String())
	// Damage is noticed, and named.
	shutil := filepath.Join(t.TempDir(), "other")
	blob := filepath.Join(source, "blobs", r.StateDigest.String()[:2], r.StateDigest.String()[2:])
	damage(t, blob)
	oneError(t, 1, []string{"corrupt blob", source}, "export", source, "-o", shutil)
	damage(t, blob) // back again
	statement := filepath.Join(source, "statements", "00000005.cbor")
	damage(t, statement)
	oneError(t, 1, []string{statement, "damaged"}, "export", source, "-o", shutil)
	if err := os.WriteFile(filepath.Join(source, "run"), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	oneError(t, 1, []string{source}, "export", source, "-o", shutil)
	if _, err := os.Stat(shutil); err == nil {
		t.Error("a failed export left its directory behind")
	}
}

func readModel(t *testing.T, dir string, params int, root string) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	spec := tinyOf(t, params)
	theta, meta, err := models.ReadSafetensors(f, spec)
	if err != nil {
		t.Fatal(err)
	}
	if len(theta) != params || meta["model_root"] != root {
		t.Errorf("%d parameters with root %s, want %d with %s", len(theta), meta["model_root"], params, root)
	}
	if _, err := os.Stat(filepath.Join(dir, "config.json")); err != nil {
		t.Error(err)
	}
}
