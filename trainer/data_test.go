package trainer

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"drystone/models"
	"drystone/protocol"

	"pgregory.net/rapid"
)

func TestLoadDataset(t *testing.T) {
	data := testText(2*protocol.ChunkSize + 777)
	m := protocol.NewManifest(data)
	spec := protocol.DataSpec{Manifest: protocol.MerkleRoot(m.Encode()), Tokenizer: "bytes", Tokens: m.Bytes, Holdout: 1000}
	fetch := func(_ context.Context, d protocol.Digest) ([]byte, error) {
		for i, c := range m.Chunks {
			if c == d {
				return data[i*protocol.ChunkSize : min((i+1)*protocol.ChunkSize, len(data))], nil
			}
		}
		return nil, os.ErrNotExist
	}
	d, err := LoadDataset(ctx, spec, &m, fetch)
	if err != nil || string(d.data) != string(data) || d.Tokens() != m.Bytes || d.Holdout() != 1000 {
		t.Fatalf("%v", err)
	}
	lost := errors.New("lost")
	for name, tt := range map[string]struct {
		fetch Source
		want  error
		text  string
	}{
		"corrupt": {func(c context.Context, d protocol.Digest) ([]byte, error) {
			b, err := fetch(c, d)
			b = append([]byte{}, b...)
			if d == m.Chunks[1] {
				b[99] ^= 1
			}
			return b, err
		}, ErrData, "chunk 1 of 3"},
		"short": {func(c context.Context, d protocol.Digest) ([]byte, error) {
			b, err := fetch(c, d)
			return b[:len(b)-1], err
		}, ErrData, "chunk 0 of 3"},
		"gone": {func(context.Context, protocol.Digest) ([]byte, error) { return nil, lost }, lost, "chunk 0 of 3"},
	} {
		if _, err := LoadDataset(ctx, spec, &m, tt.fetch); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := spec
	other.Manifest[0] ^= 1
	if _, err := LoadDataset(ctx, other, &m, fetch); !errors.Is(err, ErrData) {
		t.Errorf("other manifest: %v", err)
	}
	for _, holdout := range []uint64{0, 1, uint64(len(data)), math.MaxUint64} {
		if _, err := NewDataset(data, holdout); !errors.Is(err, ErrData) {
			t.Errorf("holdout %d: %v", holdout, err)
		}
	}
	if err := d.Fits(&protocol.ModelSpec{Family: "llama", Vocab: 256, Context: 1000}); !errors.Is(err, ErrData) || !strings.Contains(err.Error(), "1001") {
		t.Errorf("too short: %v", err)
	}
}

// The draw is fixed by golden vectors, and never touches the holdout.
func TestDraw(t *testing.T) {
	type draw struct {
		Round, Index, Step uint32
		Context, Train     int
		Starts             []uint64
	}
	var got []draw
	for _, c := range []draw{{0, 0, 0, 128, 510000, nil}, {0, 0, 1, 128, 510000, nil}, {3, 1, 14, 7, 1 << 20, nil}, {1, 200, 2, 1, 3, nil}} {
		src := sequenceSource(protocol.Assignment{Run: protocol.Hash("run"), Round: c.Round, Index: c.Index}, c.Step)
		for range 4 {
			c.Starts = append(c.Starts, uniform(src, uint64(c.Train-c.Context)))
		}
		got = append(got, c)
	}
	name := filepath.Join("testdata", "draw.golden")
	if *update {
		b, err := json.MarshalIndent(got, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var want []draw
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}

	data := make([]byte, 50)
	for i := range data {
		data[i] = byte(i)
	}
	d, err := NewDataset(data, 20)
	if err != nil {
		t.Fatal(err)
	}
	in := models.NewInputs(protocol.ModelSpec{Family: "llama", Context: 4}, 10)
	tokens, targets := in.Tokens, in.Targets
	seen := map[int32]bool{}
	for step := range uint32(200) {
		d.Draw(protocol.Assignment{}, step, 4, &in)
		for i := range tokens {
			if targets[i] != tokens[i]+1 || i%4 > 0 && tokens[i] != targets[i-1] || targets[i] >= 30 {
				t.Fatalf("step %d: %v -> %v", step, tokens, targets)
			}
			if i%4 == 0 {
				seen[tokens[i]] = true
			}
		}
	}
	if len(seen) != 26 {
		t.Errorf("%d of 26 places drawn", len(seen))
	}
}

// uniform is exact: over the words of a counter it gives each residue equally often. Here the rule is checked against
// big integers on words near the rejection bound.
func TestUniformRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(1, math.MaxUint64).Draw(t, "n")
		seed := rapid.Uint64().Draw(t, "seed")
		var key [32]byte
		key[0], key[7] = byte(seed), byte(seed>>8)
		got := uniform(rand.NewChaCha8(key), n)
		words := rand.NewChaCha8(key)
		bound := new(big.Int).Mod(new(big.Int).Lsh(big.NewInt(1), 64), new(big.Int).SetUint64(n))
		for {
			w := new(big.Int).SetUint64(words.Uint64())
			if w.Cmp(bound) < 0 {
				continue
			}
			if want := w.Mod(w, new(big.Int).SetUint64(n)).Uint64(); got != want {
				t.Fatalf("n=%d: %d, want %d", n, got, want)
			}
			return
		}
	})
}

// The bigram figure against a direct computation pair by pair.
func TestBigram(t *testing.T) {
	data := testText(5000)
	d, err := NewDataset(data, 900)
	if err != nil {
		t.Fatal(err)
	}
	best := math.Inf(1)
	for _, alpha := range []float64{1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01} {
		pair, single := map[string]float64{}, map[byte]float64{}
		for i := 0; i+1 < 4100; i++ {
			pair[string(data[i:i+2])]++
			single[data[i]]++
		}
		var sum float64
		for i := 4100; i+1 < 5000; i++ {
			sum += math.Log((single[data[i]] + 256*alpha) / (pair[string(data[i:i+2])] + alpha))
		}
		best = min(best, sum/899)
	}
	if got := d.Bigram(); math.Abs(got-best) > 1e-9 {
		t.Errorf("Bigram = %v, want %v", got, best)
	}
}

// The schedule is the formula of the package comment; float64's library cosine agrees to its own error.
func TestLearningRate(t *testing.T) {
	spec := testSpec(nil).Train
	spec.Rounds, spec.Steps, spec.Warmup, spec.LR, spec.MinLR = 5, 8, 6, 3e-3, 3e-4
	for g := range 40 {
		want := 3e-3 * float64(g+1) / 6
		if g >= 6 {
			want = 3e-4 + (3e-3-3e-4)*(1+math.Cos(math.Pi*float64(g-6)/34))/2
		}
		got := learningRate(&spec, uint32(g/8), uint32(g%8))
		if math.Abs(float64(got)-want) > 1e-7*want {
			t.Errorf("step %d: %v, want %v", g, got, want)
		}
	}
	spec.Warmup = 100 // longer than the run
	if got := learningRate(&spec, 4, 7); got != float32(3e-3*40/100) {
		t.Errorf("all warm-up: %v", got)
	}
	spec.Warmup = 40 // exactly the run
	if got := learningRate(&spec, 4, 7); got != 3e-3 {
		t.Errorf("end of warm-up: %v", got)
	}
}

// Machin: pi = 16 arctan(1/5) - 4 arctan(1/239), here in 400 bits.
func TestPi(t *testing.T) {
	wide := func(x int64) *big.Float { return new(big.Float).SetPrec(400).SetInt64(x) }
	arctan := func(inverse int64) *big.Float {
		sum, power := wide(0), new(big.Float).Quo(wide(1), wide(inverse))
		for n := int64(1); n < 400; n += 2 {
			sum.Add(sum, new(big.Float).Quo(power, wide(n)))
			power.Quo(power, wide(-inverse*inverse))
		}
		return sum
	}
	want := wide(0).Sub(wide(0).Mul(wide(16), arctan(5)), wide(0).Mul(wide(4), arctan(239)))
	got, _, err := big.ParseFloat(piDigits, 10, 256, big.ToNearestEven)
	if err != nil || got.Cmp(new(big.Float).SetPrec(256).Set(want)) != 0 {
		t.Fatalf("pi = %v, want %v (%v)", got.Text('g', 90), want.Text('g', 90), err)
	}
}
