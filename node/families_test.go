package node

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drystone/internal/examples"
	"drystone/models"
	"drystone/protocol"
	"drystone/trainer"
	"drystone/verify"
)

// shortened is a template at a length that a test can wait for; the decoders are made smaller.
func shortened(t *testing.T, template Template, rounds uint32, peers int) LocalConfig {
	t.Helper()
	cfg := tinyConfig(t, 1, rounds, peers, nil)
	s := template.Spec
	s.Founder = cfg.Spec.Founder
	s.Train.Rounds, s.Train.Steps, s.Train.Segment = rounds, 12, 4
	s.Aggregate.MinPeers, s.Aggregate.StartPeers = 1, uint32(peers)
	s.Payout.EpochRounds = 2
	s.Deadlines = cfg.Spec.Deadlines
	if m := &s.Model; m.Family == "llama" {
		m.Dim, m.Layers, m.FFN, m.Context = 32, 1, 32, 32
		s.Codec.ShardParams = 1 << 15
	}
	var err error
	if cfg.Spec, cfg.Data, _, err = LoadData(s, nil, ""); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// Every template trains out of the box through the whole product: real aggregation, every contribution checked by replay
// and its proof audited with the blobs, which replays and merges again; the held-out loss falls. One trainer of the
// convnet cheats and is caught.
func TestTemplatesRun(t *testing.T) {
	for _, template := range Templates() {
		t.Run(template.Name, func(t *testing.T) {
			if testing.Short() && template.Name != "convnet" {
				t.Skip("takes seconds each")
			}
			const rounds, peers = 4, 2
			cfg := shortened(t, template, rounds, peers)
			cheats := template.Name == "convnet"
			if cheats {
				cfg.Trainers[1].Cheat = func(round uint32) bool { return round == 1 }
			}
			l := runLocal(t, cfg)
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			a := l.Aggregators[0]
			before, err := a.HeldOut(ctx, 0, 200)
			if err != nil {
				t.Fatal(err)
			}
			after, err := a.HeldOut(ctx, rounds, 200)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: %v -> %v", template.Name, before, after)
			if after.Loss >= 0.97*before.Loss { // 48 steps
				t.Errorf("the held-out score went from %v to %v", before, after)
			}
			for i, tr := range l.Trainers {
				n := a.Checks()[tr.ID()]
				guilty := cheats && i == 1
				if n.Passed+n.Failed == 0 || (n.Failed > 0) != guilty {
					t.Errorf("trainer %d: %d checks passed, %d failed", i, n.Passed, n.Failed)
				}
				for round := range uint32(rounds) {
					if guilty && round > 1 { // out of the roster from round 3 on
						continue
					}
					var proof []byte
					if err := retry(ctx, 100*time.Millisecond, func() (err error) { // the last checkpoint comes after the end
						proof, err = a.Proof(ctx, round, tr.ID())
						return err
					}); err != nil {
						t.Fatal(err)
					}
					r, err := Audit(ctx, proof, &l.Run, []string{blobsOf(cfg, 0)}, 1)
					if err != nil {
						t.Fatalf("round %d of trainer %d: %v", round, i, err)
					}
					want := verify.StandingPassed
					if guilty && round == 1 {
						want = verify.StandingRefuted
					}
					if r.Standing != want || r.Levels[verify.L2].Status != verify.StatusPassed || r.Levels[verify.L3].Status != verify.StatusPassed {
						t.Errorf("round %d of trainer %d: %q, replay %q, merge %q", round, i, r.Standing, r.Levels[verify.L2].Status, r.Levels[verify.L3].Status)
					}
				}
			}
			checkExport(t, ctx, cfg, l)
		})
	}
}

// checkExport reads the model from disk and over the network, and what is written of it.
func checkExport(t *testing.T, ctx context.Context, cfg LocalConfig, l *Local) {
	t.Helper()
	disk, err := OpenModel(ctx, filepath.Join(cfg.Dir, "aggregator-0"), -1)
	if err != nil {
		t.Fatal(err)
	}
	client, err := Dial(ctx, l.Link, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	wire, err := client.Snapshot(ctx, client.Rounds())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for i, m := range []*Snapshot{disk, wire} {
		if err := Export(filepath.Join(dir, fmt.Sprint(i)), m); err != nil {
			t.Fatal(err)
		}
	}
	names := []string{"model.safetensors", "config.json"}
	if cfg.Spec.Model.OnExamples() {
		names = append(names, "preprocessor_config.json")
	}
	read := map[string][]byte{}
	for _, name := range names {
		a, err := os.ReadFile(filepath.Join(dir, "0", name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, "1", name))
		if err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s from disk and from the network differ (%v)", name, err)
		}
		read[name] = a
	}
	theta, _, err := models.ReadSafetensors(bytes.NewReader(read["model.safetensors"]), cfg.Spec.Model)
	if err != nil || trainer.Root(theta) != l.Aggregators[0].View().Model {
		t.Errorf("the exported parameters are not the run's (%v)", err)
	}
	if !cfg.Spec.Model.OnExamples() {
		return
	}
	var p preprocessing
	if err := json.Unmarshal(read["preprocessor_config.json"], &p); err != nil {
		t.Fatal(err)
	}
	set, err := examples.Open(cfg.Data)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Mean) != len(set.Mean) || p.Mean[0] != set.Mean[0] || p.Scale[0] != set.Scale[0] || len(p.ValueScale) != set.Values {
		t.Errorf("exported constants %+v, the dataset's are %+v", p, set.Header)
	}
}

// A template is a complete run.toml: it parses to itself and validates once founder and data are filled in.
func TestTemplatesParse(t *testing.T) {
	for _, template := range Templates() {
		text, err := SpecTemplate(template.Name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseSpec("run.toml", []byte(text))
		if err != nil || got != template.Spec {
			t.Errorf("%s: %v\n got %+v\nwant %+v", template.Name, err, got, template.Spec)
		}
		got.Founder = protocol.DeriveKey(1, "founder").ID()
		filled, data, _, err := LoadData(got, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := filled.Validate(); err != nil {
			t.Errorf("%s: %v", template.Name, err)
		}
		again, same, _, err := LoadData(got, nil, "")
		if err != nil || again != filled || !bytes.Equal(data, same) {
			t.Errorf("%s: its data are not the same when asked again (%v)", template.Name, err)
		}
	}
	if text, err := SpecTemplate(""); err != nil || !strings.Contains(text, `family = "llama"`) || !strings.Contains(text, `tokenizer = "bytes"`) {
		t.Errorf("the default template: %v\n%s", err, text)
	}
	if _, err := SpecTemplate("tree"); err == nil || !strings.Contains(err.Error(), "convnet") {
		t.Errorf("a template that there is not: %v", err)
	}
	// A few keys are enough: the rest comes from the template that they belong to.
	for text, want := range map[string]string{
		"":                                "first-run",
		"[train]\nlr = 1e-3\n":            "first-run",
		"[model]\nfamily = \"llama\"\n":   "first-run",
		"[model]\nfamily = \"mlp\"\n":     "first-classifier",
		"[model]\nfamily = \"convnet\"\n": "first-convnet",
		"[model]\nfamily = \"oak\"\n":     "first-run",
		"[data]\ntokenizer = \"u32le\"\n": "first-run",
		"[model]\nfamily = \"llama\"\n[data]\ntokenizer = \"u32le\"\n":       "first-tokens",
		"[model]\nfamily = \"mlp\"\nloss = \"squared-error\"\n":              "first-regressor",
		"[model]\nfamily = \"mlp\"\nloss = \"cross-entropy\"\noutputs = 3\n": "first-classifier",
	} {
		if got, err := ParseSpec("run.toml", []byte(text)); err != nil || got.Name != want {
			t.Errorf("%q is read over %s, want %s (%v)", text, got.Name, want, err)
		}
	}
	if _, err := ParseSpec("run.toml", []byte("[model]\nfamilie = \"mlp\"\n")); !errors.Is(err, protocol.ErrBadSpec) {
		t.Errorf("a misspelt key: %v", err)
	}
}

// The user's files, good and bad: what is refused is named with file, place and the key of the spec.
func TestLoadData(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, data string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	u16 := func(tokens ...uint16) string {
		var b []byte
		for _, v := range tokens {
			b = binary.LittleEndian.AppendUint16(b, v)
		}
		return string(b)
	}
	tokensRun, classes, values, convs := tokensSpec(), classifierSpec(), regressorSpec(), convnetSpec()
	tokensRun.Model.Context, tokensRun.Model.Vocab = 2, 300
	classes.Model.Inputs, classes.Model.Outputs = 2, 3
	values.Model.Inputs = 2
	convs.Model.Height, convs.Model.Width, convs.Model.Layers, convs.Model.Outputs = 2, 2, 1, 3
	var rows strings.Builder
	for i := range 40 {
		fmt.Fprintf(&rows, "%d,%d,%d\n", i, i*i, i%3)
	}
	table := file("iris.csv", "a,b,c\n"+rows.String())
	images := file("images-idx3-ubyte", "\x00\x00\x08\x03\x00\x00\x00\x14\x00\x00\x00\x02\x00\x00\x00\x02"+strings.Repeat("\x01\x02\x03\x04", 20))
	labels := file("labels-idx1-ubyte", "\x00\x00\x08\x01\x00\x00\x00\x14"+strings.Repeat("\x00\x02", 10))
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte("\x00\x00\x08\x01\x00\x00\x00\x14" + strings.Repeat("\x00\x02", 10))); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	zipped := file("labels-idx1-ubyte.gz", packed.String())
	good := file("good.u16", u16(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 299, 0, 1, 2, 3, 4))

	for name, tt := range map[string]struct {
		spec    protocol.RunSpec
		files   []string
		target  string
		tokens  uint64
		holdout uint64
	}{
		"table":       {classes, []string{table}, "", 40, 4},
		"target":      {values, []string{table}, "b", 40, 4},
		"holdout":     {withHoldout(classes, 13), []string{table}, "", 40, 13},
		"images":      {convs, []string{images, labels}, "", 20, 2},
		"gzip":        {convs, []string{images, zipped, images, labels}, "", 40, 4},
		"token files": {tokensRun, []string{good, good}, "", 32, 6},
	} {
		s, data, found, err := LoadData(tt.spec, tt.files, tt.target)
		if err != nil || s.Data.Tokens != tt.tokens || s.Data.Holdout != tt.holdout || !strings.Contains(found, tt.files[0]) {
			t.Errorf("%s: %v, %+v, %q", name, err, s.Data, found)
			continue
		}
		s.Founder = protocol.DeriveKey(1, "founder").ID()
		if err := s.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if encoded := file("encoded", string(data)); s.Model.OnExamples() { // its own output is data too
			again, _, _, err := LoadData(tt.spec, []string{encoded}, "")
			if err != nil || again.Data != func() protocol.DataSpec { return s.Data }() {
				t.Errorf("%s encoded: %v, %+v", name, err, again.Data)
			}
		}
	}

	four := classes
	four.Model.Inputs = 4
	for name, tt := range map[string]struct {
		spec   protocol.RunSpec
		files  []string
		target string
		texts  []string
	}{
		"absent":              {classes, []string{filepath.Join(dir, "none.csv")}, "", []string{"none.csv", "--data"}},
		"empty":               {classes, []string{file("empty.csv", "")}, "", []string{"empty.csv", "empty"}},
		"ragged":              {classes, []string{file("ragged.csv", "a,b,c\n1,2,0\n1,2\n")}, "", []string{"ragged.csv", "line 3"}},
		"NaN":                 {classes, []string{file("nan.csv", "a,b,c\n1,NaN,0\n")}, "", []string{"nan.csv", "line 2, column 2 (b)"}},
		"class":               {classes, []string{file("class.csv", "a,b,c\n1,2,3\n")}, "", []string{"class.csv", "line 2, column 3 (c)", "model.outputs"}},
		"no column":           {values, []string{table}, "z", []string{"iris.csv", `"z"`}},
		"features":            {four, []string{table}, "", []string{"iris.csv", "2 features", "reads 4", "model.inputs"}},
		"two tables":          {classes, []string{table, table}, "", []string{"2 data files"}},
		"few rows":            {withHoldout(classes, 40), []string{table}, "", []string{"40 examples", "holdout of 40"}},
		"table for a convnet": {convs, []string{table}, "", []string{"2 features", "model.height"}},
		"labels alone":        {convs, []string{labels}, "", []string{"labels-idx1-ubyte", "no images"}},
		"images alone":        {convs, []string{images}, "", []string{"1 IDX files of images and 0 of labels"}},
		"cut":                 {convs, []string{file("cut-idx3-ubyte", "\x00\x00\x08\x03\x00\x00\x00\x14")}, "", []string{"cut-idx3-ubyte", "byte 8"}},
		"not IDX":             {convs, []string{file("text-idx", "some text")}, "", []string{"text-idx", "byte 0", "magic"}},
		"target of images":    {convs, []string{images, labels}, "x", []string{"target", "images-idx3-ubyte"}},
		"images for values":   {values, []string{images, labels}, "", []string{"squared-error"}},
		"bad gzip":            {convs, []string{file("x.gz", "\x1f\x8b\x08\x00broken")}, "", []string{"x.gz"}},
		"default of a shape":  {four, nil, "", []string{"generated digits", "144 features", "reads 4"}},
		"odd tokens":          {tokensRun, []string{file("odd.u16", u16(1, 2)+"x")}, "", []string{"odd.u16", "byte 4"}},
		"vocabulary":          {tokensRun, []string{good, file("big.u16", u16(1, 300))}, "", []string{"big.u16", "byte 2", "token 300", "model.vocab"}},
		"few tokens":          {tokensRun, []string{file("few.u16", u16(1, 2, 3, 4, 5))}, "", []string{"few.u16"}},
		"small vocabulary":    {withVocab(tokensRun, 255), nil, "", []string{"model.vocab = 255"}},
		"target of tokens":    {tokensRun, []string{good}, "b", []string{"target", "llama"}},
	} {
		_, _, _, err := LoadData(tt.spec, tt.files, tt.target)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		for _, text := range tt.texts {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %q does not say %q", name, err, text)
			}
		}
	}
}

func withHoldout(s protocol.RunSpec, n uint64) protocol.RunSpec { s.Data.Holdout = n; return s }
func withVocab(s protocol.RunSpec, n int) protocol.RunSpec      { s.Model.Vocab = n; return s }

// Words become tokens by the rule of wordTokens, and the text can be read back from them.
func TestWordTokens(t *testing.T) {
	const text = "the wall, the hand; a wall Wall the\nthe éclair x"
	ids, err := wordTokens([]byte(text), 258)
	if err != nil {
		t.Fatal(err)
	}
	// " the" and " wall" occur twice, "the" too: "the" is at the start and after the line feed.
	words := []string{" the", " wall"}
	var back strings.Builder
	n := 0
	for _, id := range ids {
		if id >= 256 {
			back.WriteString(words[id-256])
			n++
		} else {
			back.WriteByte(byte(id))
		}
	}
	if back.String() != text || n != 4 {
		t.Errorf("%d words in %v, which read %q", n, ids, back.String())
	}
	if ids, err = wordTokens([]byte(text), 256); err != nil || len(ids) != len(text) {
		t.Errorf("without room for words: %d tokens of %d bytes, %v", len(ids), len(text), err)
	}
}
