package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drystone/protocol"
)

var (
	update = flag.Bool("update", false, "rewrite the golden files")
	every  = flag.Bool("every", false, "flip every byte of a proof, not every 17th")
)

// tiny is the golden contribution: round 1 of a run with 40 parameters, checked and passed.
func tiny(t testing.TB) (*world, *Proof) {
	w := newWorld(t, 40, "segment", "sparse", 1)
	w.round(0, 6)
	c := w.round(1, 6)[0]
	return w, c.proof(c.checked())
}

// The proof of derived keys is the same on every machine, and so is what the audit says about it.
func TestGoldenProof(t *testing.T) {
	w, p := tiny(t)
	data := must(p.Encode())(t)
	report, err := Audit(t.Context(), w.reread(p), w.options())
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := report.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{"contribution.proof": data, "report.txt": text.Bytes(), "report.json": must(report.JSON())(t)} {
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from the golden file; run go test ./verify -run Golden -update if that is meant\n%s", name, got)
		}
	}
}

// No byte of a proof can change unnoticed, and the audit says what broke. -every tries them all.
func TestEveryByte(t *testing.T) {
	_, p := tiny(t)
	data := must(p.Encode())(t)
	step := 17 // coprime to 8, so that every bit of a byte comes up
	if *every {
		step = 1
	}
	parts := map[string]int{}
	cut := len(data) - sha256.Size
	for i := 0; i < len(data); i += step {
		bad := bytes.Clone(data)
		bad[i] ^= 1 << (i % 8)
		if i < cut { // as a forger would: the trailer alone must not be what saves the auditor
			sum := sha256.Sum256(bad[:cut])
			copy(bad[cut:], sum[:])
		}
		f, err := DecodeProof(bad)
		if err != nil {
			parts["unreadable"]++
			continue
		}
		_, err = Audit(context.Background(), f, Options{})
		part := failurePart(err)
		if part == "" || (part == "L0: trailer") != (i >= cut) {
			t.Fatalf("byte %d of %d flipped: %v", i, len(data), err)
		}
		parts[part]++
	}
	for i := range data { // and without the new trailer nothing passes either
		bad := bytes.Clone(data)
		bad[i] ^= 0x80
		if f, err := DecodeProof(bad); err == nil && f.whole {
			t.Fatalf("byte %d flipped and the file counts as whole", i)
		}
	}
	t.Logf("%d bytes: %v", len(data), parts)
	if *every {
		for _, want := range []string{"L0: run spec", "L0: Genesis", "L0: statement chain", "L0: Commit", "L0: Join", "L0: trace", "L0: checkpoint", "L0: check 0: Draw", "L0: check 0: verdict 0", "L1: check 0: opening", "L0: trailer", "L0: Certificate in the log"} {
			if parts[want] == 0 {
				t.Errorf("no flipped byte was reported as %q", want)
			}
		}
	}
}

// A cheat that was caught: t verdicts refute it, and the auditor's own replay agrees.
func TestRefutedProofStands(t *testing.T) {
	for name, ch := range map[string]cheat{
		"false step":    {state: func(seg int, s toyState) { s[0][3] += 0.5 }},
		"false moment":  {state: func(seg int, s toyState) { s[2][0] = 7 }},
		"false payload": {payload: func(p []byte) { p[0] ^= 1 }},
	} {
		for _, kind := range []string{"segment", "prefix"} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				w := newWorld(t, 40, kind, "sparse", 1)
				c := w.round(0, 6, ch)[0]
				p := c.proof(c.checked())
				r, err := Audit(t.Context(), w.reread(p), w.options())
				if err != nil {
					t.Fatal(err)
				}
				if r.Standing != StandingRefuted || r.Level != "L3" || !strings.Contains(strings.Join(r.Levels[L2].Notes, "\n"), "the refutation stands") {
					t.Fatalf("%+v", r)
				}
			})
		}
	}
}

// Aggregators who refute an honest contribution are found out by anyone who replays it.
func TestFalseRefutation(t *testing.T) {
	w := newWorld(t, 40, "segment", "sparse", 1)
	c := w.round(0, 6)[0]
	rec := c.checked()
	v := rec.Verdicts[0].Verdict.Body
	rec.Verdicts = nil
	for i, k := range w.aggs[:2] {
		v.Verifier, v.Outcome, v.States = k.ID(), protocol.Mismatch, protocol.Hash("made up", []byte{byte(i)})
		s := protocol.Sign(k, v)
		w.append(LeafVerdict, s)
		rec.Verdicts = append(rec.Verdicts, VerdictRecord{Verdict: s})
	}
	r, err := Audit(t.Context(), w.reread(c.proof(rec)), w.options())
	if failurePart(err) != "L2: check 0" || r.Levels[L2].Status != StatusFailed || r.Level != "L1" {
		t.Fatalf("%v %+v", err, r)
	}
}

// A cheat outside the drawn segment passes its check, and an audit that replays from the public parameters finds it if
// it lies before the end of that segment.
func TestAuditSeesMoreThanTheCheck(t *testing.T) {
	w := newWorld(t, 40, "segment", "dense", 1)
	for round := range uint32(8) {
		c := w.round(round, 6, cheat{state: func(seg int, s toyState) {
			if seg == 0 {
				s[0][0] += 1
			}
		}})[0]
		rec := c.checked()
		seg := rec.Verdicts[0].Verdict.Body.Segment
		_, err := Audit(t.Context(), w.reread(c.proof(rec)), w.options())
		if seg == 0 && (err != nil || rec.Verdicts[0].Verdict.Body.Outcome != protocol.Mismatch) {
			t.Fatalf("segment 0: %v, %s", err, rec.Verdicts[0].Verdict.Body.Outcome)
		}
		if seg > 0 && (failurePart(err) != "L2: check 0" || rec.Verdicts[0].Verdict.Body.Outcome != protocol.Passed) {
			t.Fatalf("segment %d: %v, %s", seg, err, rec.Verdicts[0].Verdict.Body.Outcome)
		}
	}
}

// A Certificate that is not the merge of the payloads fails L3 although a quorum signed it.
func TestFalseMerge(t *testing.T) {
	w, p := tiny(t)
	o := w.options()
	o.Merger = func(s *protocol.RunSpec, theta, outer []float32, cs []Contribution) (*MergeResult, error) {
		next, err := mergeMean(s, theta, outer, cs)
		next.Theta[0]++
		return next, err
	}
	r, err := Audit(t.Context(), w.reread(p), o)
	if failurePart(err) != "L3: Certificate" || r.Level != "L2" {
		t.Fatalf("%v %+v", err, r)
	}
}

// What the auditor lacks is said, and never counted as checked.
func TestAuditSaysWhatItDidNotCheck(t *testing.T) {
	w, p := tiny(t)
	tests := []struct {
		name   string
		change func(o *Options)
		level  string
		l2, l3 string
		want   string
	}{
		{"everything", func(*Options) {}, "L3", StatusPassed, StatusPassed, "no settlement"},
		{"no run", func(o *Options) { o.Run = nil }, "L3", StatusPassed, StatusPassed, ""},
		{"no blobs", func(o *Options) { o.Blobs = nil }, "L1", StatusNotChecked, StatusNotChecked, "L2: replay: parameters"},
		{"no engine", func(o *Options) { o.Replayer = nil }, "L1", StatusPartly, StatusPassed, "L2: replay: no engine"},
		{"no merger", func(o *Options) { o.Merger = nil }, "L2", StatusPassed, StatusNotChecked, "L3: merge: no engine"},
		{"parameters only", func(o *Options) {
			o.Blobs = blobs{p.Start.Model: w.blobs[p.Start.Model]}
		}, "L1", StatusPartly, StatusNotChecked, "L2: codec chunks: payload 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := w.options()
			tt.change(&o)
			r, err := Audit(t.Context(), w.reread(p), o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Level != tt.level || r.Levels[L2].Status != tt.l2 || r.Levels[L3].Status != tt.l3 {
				t.Errorf("level %s, L2 %s, L3 %s", r.Level, r.Levels[L2].Status, r.Levels[L3].Status)
			}
			if !strings.Contains(strings.Join(r.NotChecked, "\n"), tt.want) {
				t.Errorf("not checked: %q", r.NotChecked)
			}
			var text bytes.Buffer
			if err := r.WriteText(&text); err != nil {
				t.Fatal(err)
			}
			if unpinned := contains(text.Bytes(), "UNPINNED"); unpinned != (o.Run == nil) {
				t.Errorf("unpinned %t:\n%s", unpinned, text.String())
			}
		})
	}
}

// The wrong run is refused before anything else.
func TestAuditPinned(t *testing.T) {
	w, p := tiny(t)
	o := w.options()
	other := protocol.Hash("run", []byte("another"))
	o.Run = &other
	if _, err := Audit(t.Context(), w.reread(p), o); failurePart(err) != "L0: run spec" {
		t.Fatal(err)
	}
}

// A damaged local copy and an engine that fails are no fault of the proof.
func TestAuditLocalFailure(t *testing.T) {
	w, p := tiny(t)
	o := w.options()
	damaged := blobs{p.Start.Model: bytes.Repeat([]byte{1}, 160)}
	o.Blobs = damaged
	if _, err := Audit(t.Context(), w.reread(p), o); err == nil || failurePart(err) != "" {
		t.Fatal(err)
	}
	o = w.options()
	o.Replayer = func(context.Context, *protocol.RunSpec, BlobSource) (Replayer, error) {
		return &toy{c: w.spec.Codec, err: os.ErrPermission}, nil
	}
	if _, err := Audit(t.Context(), w.reread(p), o); err == nil || failurePart(err) != "" {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Audit(ctx, w.reread(p), w.options()); err == nil || failurePart(err) != "" {
		t.Fatal(err)
	}
}

func FuzzDecodeProof(f *testing.F) {
	data, err := os.ReadFile(filepath.Join("testdata", "contribution.proof"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(magic))
	_, _, material := changing(f, oldSet)
	f.Add(must(material.Encode())(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := DecodeProof(data)
		if err != nil {
			return
		}
		if _, err := Audit(context.Background(), file, Options{}); err == nil {
			again, err := file.Proof.Encode()
			if err != nil || !bytes.Equal(again, data) {
				t.Fatalf("a proof that passes has two encodings: %v", err)
			}
		}
	})
}
