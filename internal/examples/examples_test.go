package examples

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// idx returns an IDX file of unsigned bytes.
func idx(name string, sizes []int, body []byte) File {
	b := []byte{0, 0, 8, byte(len(sizes))}
	for _, n := range sizes {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	return File{name, append(b, body...)}
}

// table is a small table with a class in the middle.
const table = "height, kind ,\"the \"\"width\"\"\"\n1.5,0,-2\n2.5,1,1e3\n3.5,2,0\n"

func mustEncode(t testing.TB, r *Raw, train int) *Set {
	t.Helper()
	b, err := r.Encode(train)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// drawRaw draws any kind of dataset.
func drawRaw(t *rapid.T) *Raw {
	r := &Raw{Height: rapid.IntRange(1, 4).Draw(t, "height"), Width: rapid.IntRange(1, 4).Draw(t, "width"),
		Channels: rapid.IntRange(1, 3).Draw(t, "channels"), Count: rapid.IntRange(1, 9).Draw(t, "count")}
	n := r.Count * r.features()
	float := rapid.Float32Range(-1e6, 1e6)
	if rapid.Bool().Draw(t, "pixels") {
		r.Pixels = rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "pixel")
	} else {
		r.Features = rapid.SliceOfN(float, n, n).Draw(t, "feature")
	}
	if rapid.Bool().Draw(t, "classes") {
		r.Classes = rapid.IntRange(2, 5).Draw(t, "classes")
		r.Labels = rapid.SliceOfN(rapid.Int32Range(0, int32(r.Classes-1)), r.Count, r.Count).Draw(t, "label")
	} else {
		r.ValueCount = rapid.IntRange(1, 3).Draw(t, "values")
		r.Values = rapid.SliceOfN(float, r.Count*r.ValueCount, r.Count*r.ValueCount).Draw(t, "value")
	}
	return r
}

// What is encoded comes back, standardised as the package comment defines it.
func TestEncodeOpen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRaw(t)
		b, err := r.Encode(rapid.IntRange(1, r.Count).Draw(t, "train"))
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(b)
		if err != nil {
			t.Fatal(err)
		}
		n := s.Features()
		x, y := make([]float32, n), make([]float32, s.Values)
		for i := range r.Count {
			s.Read(i, x)
			for j, v := range x {
				k := j % len(s.Mean)
				raw := float32(0)
				if r.Pixels != nil {
					raw = float32(r.Pixels[i*n+j])
				} else {
					raw = r.Features[i*n+j]
				}
				if want := float32(raw-s.Mean[k]) * s.Scale[k]; v != want {
					t.Fatalf("example %d, feature %d: %v, want %v", i, j, v, want)
				}
			}
			if s.Classes > 0 && s.Class(i) != r.Labels[i] {
				t.Fatalf("example %d: class %d, want %d", i, s.Class(i), r.Labels[i])
			}
			s.Targets(i, y)
			for j, v := range y {
				if want := float32(r.Values[i*s.Values+j]-s.ValueMean[j]) * s.ValueScale[j]; v != want {
					t.Fatalf("example %d, value %d: %v, want %v", i, j, v, want)
				}
			}
		}
	})
}

// The features of the training part have mean 0 and deviation 1, whatever the held-out part holds.
func TestStandardised(t *testing.T) {
	r := Friedman(500)
	for i := 400 * 10; i < len(r.Features); i++ {
		r.Features[i] += 100
	}
	s := mustEncode(t, r, 400)
	x, sums, squares := make([]float32, 10), make([]float64, 10), make([]float64, 10)
	for i := range 400 {
		s.Read(i, x)
		for j, v := range x {
			sums[j] += float64(v)
			squares[j] += float64(v) * float64(v)
		}
	}
	for j := range x {
		if m, v := sums[j]/400, squares[j]/400; math.Abs(m) > 1e-5 || math.Abs(v-1) > 1e-5 {
			t.Errorf("feature %d: mean %g, variance %g", j, m, v)
		}
	}
	flat := &Raw{Height: 1, Width: 1, Channels: 1, Count: 2, Features: []float32{7, 7}, Classes: 2, Labels: []int32{0, 1}}
	if s := mustEncode(t, flat, 2); s.Mean[0] != 7 || s.Scale[0] != 1 {
		t.Errorf("a constant feature has mean %v and scale %v", s.Mean[0], s.Scale[0])
	}
}

func TestIDX(t *testing.T) {
	a, la := idx("a", []int{2, 1, 3}, []byte{0, 1, 2, 3, 4, 255}), idx("la", []int{2}, []byte{1, 0})
	b, lb := idx("b", []int{1, 1, 3}, []byte{9, 9, 9}), idx("lb", []int{1}, []byte{2})
	want := []byte{0, 1, 2, 3, 4, 255, 9, 9, 9}
	for _, files := range [][]File{{a, la, b, lb}, {a, b, la, lb}} {
		r, err := FromIDX(files, 3)
		if err != nil {
			t.Fatal(err)
		}
		if r.Count != 3 || r.Height != 1 || r.Width != 3 || r.Channels != 1 || !bytes.Equal(r.Pixels, want) || !slices.Equal(r.Labels, []int32{1, 0, 2}) {
			t.Errorf("%+v", r)
		}
	}
	if r, err := FromIDX([]File{idx("c", []int{1, 1, 1, 2}, []byte{5, 6}), idx("l", []int{1}, []byte{1})}, 2); err != nil || r.Channels != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	cut := func(f File, n int) File { return File{f.Name, f.Data[:n]} }
	for name, tt := range map[string]struct {
		files []File
		texts []string
	}{
		"magic":           {[]File{{"x", []byte{0, 0, 9, 3, 0}}, la}, []string{"x: byte 0", "0x00000903"}},
		"short magic":     {[]File{cut(a, 3)}, []string{"a: 3 bytes"}},
		"short sizes":     {[]File{cut(a, 14)}, []string{"a: byte 14"}},
		"short body":      {[]File{cut(a, 20), la}, []string{"a: ", "[2 1 3]", "6 bytes from byte 16", "has 4"}},
		"long body":       {[]File{{"a", append(slices.Clone(a.Data), 1)}, la}, []string{"a: ", "has 7"}},
		"no size":         {[]File{idx("a", []int{0, 1, 3}, nil)}, []string{"a: byte 4", "size 0"}},
		"size overflow":   {[]File{idx("a", []int{1 << 31, 1 << 31, 1 << 31}, nil)}, []string{"a: byte 8"}},
		"size wraps":      {[]File{idx("a", []int{1 << 8, 1 << 16, 1 << 16, 1 << 24}, nil)}, []string{"a: byte 16"}},
		"labels missing":  {[]File{a}, []string{"1 IDX files of images and 0 of labels"}},
		"labels first":    {[]File{la, a}, []string{"la: ", "no images before"}},
		"other count":     {[]File{a, lb}, []string{"lb: byte 4", "1 labels", "2 images of a"}},
		"other size":      {[]File{a, la, idx("d", []int{1, 3, 1}, []byte{1, 2, 3})}, []string{"d: byte 8", "3 x 1 x 1", "a have 1 x 3 x 1"}},
		"label too large": {[]File{a, idx("l", []int{2}, []byte{0, 3})}, []string{"l: byte 9", "label 3", "3 classes", "model.outputs"}},
		"two dimensions":  {[]File{idx("e", []int{1, 1}, []byte{1})}, []string{"e: byte 3"}},
		"nothing":         {nil, []string{"0 IDX files"}},
	} {
		wantError(t, name, tt.texts, func() error { _, err := FromIDX(tt.files, 3); return err })
	}
}

func wantError(t *testing.T, name string, texts []string, f func() error) {
	t.Helper()
	err := f()
	if !errors.Is(err, ErrFormat) {
		t.Errorf("%s: %v", name, err)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q does not say %q in one line", name, err, text)
		}
	}
}

func TestCSV(t *testing.T) {
	r, err := FromCSV(File{"t.csv", []byte("\ufeff" + strings.ReplaceAll(table, "\n", "\r\n"))}, Table{Target: "kind", Classes: 3})
	if err != nil {
		t.Fatal(err)
	}
	if r.Count != 3 || r.Channels != 2 || !slices.Equal(r.Features, []float32{1.5, -2, 2.5, 1e3, 3.5, 0}) || !slices.Equal(r.Labels, []int32{0, 1, 2}) {
		t.Errorf("%+v", r)
	}
	if r, err = FromCSV(File{"t.csv", []byte(table)}, Table{}); err != nil || !slices.Equal(r.Values, []float32{-2, 1e3, 0}) || r.Channels != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	for name, tt := range map[string]struct {
		text  string
		opt   Table
		texts []string
	}{
		"empty":          {"", Table{}, []string{"t.csv: ", "empty"}},
		"header only":    {"a,b\n", Table{}, []string{"no row"}},
		"no header":      {"1,2\n3,4\n", Table{}, []string{"line 1", "name the columns"}},
		"one column":     {"a\n1\n", Table{}, []string{"line 1", "1 column"}},
		"ragged, short":  {"a,b\n1,2\n3\n", Table{}, []string{"line 3", "2 columns"}},
		"ragged, long":   {"a,b\n1,2,3\n", Table{}, []string{"line 2", "2 columns"}},
		"text":           {"a,b\n1,2\nx,4\n", Table{}, []string{"line 3, column 1 (a)", `"x"`}},
		"empty field":    {"a,b\n1,\n", Table{}, []string{"line 2, column 2 (b)"}},
		"NaN":            {"a,b\nNaN,1\n", Table{}, []string{"line 2, column 1 (a)", "NaN"}},
		"infinite":       {"a,b\n1,-Inf\n", Table{}, []string{"line 2, column 2 (b)", "-Inf"}},
		"overflow":       {"a,b\n1e39,1\n", Table{}, []string{"line 2, column 1 (a)"}},
		"class text":     {"a,b\n1,x\n", Table{Classes: 2}, []string{"line 2, column 2 (b)", "0 to 1"}},
		"class fraction": {"a,b\n1,0.5\n", Table{Classes: 2}, []string{"line 2, column 2 (b)"}},
		"class too high": {"a,b\n1,0\n1,2\n", Table{Classes: 2}, []string{"line 3, column 2 (b)", "model.outputs"}},
		"class negative": {"a,b\n1,-1\n", Table{Classes: 2}, []string{"line 2, column 2 (b)"}},
		"no such target": {"a,b\n1,0\n", Table{Target: "c"}, []string{"line 1", `"c"`, "a, b"}},
		"quote":          {"a,b\n1,\"2\n", Table{}, []string{"line 2"}},
		"bare quote":     {"a,b\n1,2\"\n", Table{}, []string{"line 2, column 4"}},
	} {
		wantError(t, name, tt.texts, func() error { _, err := FromCSV(File{"t.csv", []byte(tt.text)}, tt.opt); return err })
	}
}

// Every damage of the encoded form is refused, at its place.
func TestOpenRefuses(t *testing.T) {
	r, err := FromCSV(File{"t.csv", []byte(table)}, Table{Target: "kind", Classes: 3})
	if err != nil {
		t.Fatal(err)
	}
	classes, err := r.Encode(3)
	if err != nil {
		t.Fatal(err)
	}
	if r, err = FromCSV(File{"t.csv", []byte(table)}, Table{}); err != nil {
		t.Fatal(err)
	}
	values, err := r.Encode(3)
	if err != nil {
		t.Fatal(err)
	}
	put := func(b []byte, at int, v uint32) []byte {
		b = slices.Clone(b)
		binary.LittleEndian.PutUint32(b[at:], v)
		return b
	}
	const nan, first = 0x7fc00000, headerSize + 16 // two features, no values
	for name, tt := range map[string]struct {
		data  []byte
		texts []string
	}{
		"empty":           {nil, []string{"0 bytes"}},
		"short header":    {classes[:47], []string{"47 bytes"}},
		"short constants": {classes[:50], []string{"50 bytes", "has 64"}},
		"magic":           {put(classes, 0, 1), []string{"drystone"}},
		"version":         {put(classes, 8, 2), []string{"version 2"}},
		"element":         {put(classes, 12, 2), []string{"element type 2"}},
		"height 0":        {put(classes, 16, 0), []string{"height = 0"}},
		"width":           {put(classes, 20, 1<<31), []string{"width"}},
		"features":        {put(put(classes, 16, 300), 20, 300), []string{"180000 features"}},
		"one class":       {put(classes, 28, 1), []string{"1 classes"}},
		"classes, values": {put(values, 28, 2), []string{"2 classes and 1 values"}},
		"no target":       {put(classes, 28, 0), []string{"0 classes and 0 values"}},
		"values":          {put(classes, 32, 1<<31), []string{"values"}},
		"constants":       {put(classes, 36, 3), []string{"constants"}},
		"many constants":  {put(classes, 36, 1<<20), []string{"constants"}},
		"count":           {put(classes, 40, 4), []string{"36 bytes of records", "make 48"}},
		"huge count":      {put(classes, 44, 1<<31), []string{"examples"}},
		"mean":            {put(classes, headerSize, nan), []string{"mean 0 is NaN"}},
		"scale":           {put(classes, headerSize+12, 0), []string{"scale 1 is 0"}},
		"value scale":     {put(values, headerSize+20, 1<<31), []string{"value scale 0"}},
		"short":           {classes[:len(classes)-1], []string{"35 bytes of records"}},
		"long":            {append(slices.Clone(classes), 0), []string{"37 bytes of records"}},
		"feature":         {put(classes, first+12+4, nan), []string{"example 1, feature 1 (byte 80)", "NaN"}},
		"overflow":        {put(put(classes, headerSize+8, 0x7f000000), first, 0x7f000000), []string{"example 0, feature 0", "Inf"}},
		"class":           {put(classes, first+8, 3), []string{"example 0 (byte 72)", "class 3 of 3"}},
		"negative class":  {put(classes, first+8, 1<<31), []string{"example 0 (byte 72)"}},
		"value":           {put(values, len(values)-4, nan), []string{"example 2, value 0 (byte"}},
	} {
		wantError(t, name, tt.texts, func() error { _, err := Open(tt.data); return err })
	}
	for _, train := range []int{0, 4} {
		wantError(t, "train", nil, func() error { _, err := r.Encode(train); return err })
	}
}

// The generated data are the same everywhere, are what they say, and their classes all occur.
func TestGenerated(t *testing.T) {
	for want, r := range map[string]*Raw{
		"754c99ee37eeeb81251684dcdf60b885c757fdd556d6481bff9a9a579349fa79": Digits(100),
		"d9aa45b3f98e21d016d83ea21c76dabb219187cb9295b5e4008df7cd92c3e3e3": Friedman(100),
	} {
		b, err := r.Encode(90)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(b)); got != want {
			t.Errorf("digest %s, want %s", got, want)
		}
	}
	d := Digits(2000)
	var seen [10]int
	for _, c := range d.Labels {
		seen[c]++
	}
	for c, n := range seen {
		if n < 150 || n > 250 {
			t.Errorf("%d of 2000 digits are a %d", n, c)
		}
	}
	if s := mustEncode(t, d, 1800); s.Classes != 10 || s.Features() != 144 || s.Shape() != "images of 12 x 12 x 1" {
		t.Errorf("%+v", s.Header)
	}
	f := Friedman(2000)
	var rss float64
	for i := range f.Count {
		x := f.Features[10*i:]
		want := 10*math.Sin(math.Pi*float64(x[0])*float64(x[1])) + 20*math.Pow(float64(x[2])-0.5, 2) + 10*float64(x[3]) + 5*float64(x[4])
		rss += math.Pow(float64(f.Values[i])-want, 2)
	}
	if v := rss / 2000; v < 0.9 || v > 1.1 {
		t.Errorf("the noise has variance %v, want 1", v)
	}
	for x := 0.0; x <= 1; x += 0x1p-10 {
		if d := sinPi(x) - math.Sin(math.Pi*x); math.Abs(d) > 1e-13 {
			t.Fatalf("sin(pi %v) is off by %g", x, d)
		}
	}
}

// Shuffling keeps examples whole and depends on their number alone.
func TestShuffle(t *testing.T) {
	r := Friedman(50)
	before := map[float32]float32{}
	for i := range 50 {
		before[r.Features[10*i+9]] = r.Values[i]
	}
	first := r.Values[0]
	r.Shuffle()
	again := Friedman(50)
	again.Shuffle()
	for i := range 50 {
		if before[r.Features[10*i+9]] != r.Values[i] || again.Values[i] != r.Values[i] {
			t.Fatalf("example %d came apart", i)
		}
	}
	if r.Values[0] == first && r.Values[1] == Friedman(50).Values[1] {
		t.Error("nothing moved")
	}
}

func FuzzOpen(f *testing.F) {
	for _, r := range []*Raw{Digits(3), Friedman(3)} {
		b, err := r.Encode(2)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Open(data)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		x := make([]float32, s.Features())
		s.Read(s.Count-1, x)
		again := append(appendHeader(nil, &s.Header), s.records...)
		if !bytes.Equal(again, data) { // one dataset has one encoding
			t.Fatalf("encodes to %x, was %x", again, data)
		}
	})
}

func FuzzIDX(f *testing.F) {
	f.Add(idx("", []int{2, 1, 3}, []byte{0, 1, 2, 3, 4, 255}).Data, idx("", []int{2}, []byte{1, 0}).Data)
	f.Add(idx("", []int{1, 1, 1, 2}, []byte{0, 1}).Data, []byte{0, 0, 8, 1})
	f.Fuzz(func(t *testing.T, images, labels []byte) {
		r, err := FromIDX([]File{{"images", images}, {"labels", labels}}, 10)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		if len(r.Pixels) != r.Count*r.features() || len(r.Labels) != r.Count || len(r.Pixels) > len(images) {
			t.Fatalf("%d images of %d with %d pixels and %d labels", r.Count, r.features(), len(r.Pixels), len(r.Labels))
		}
		if _, err := r.Encode(r.Count); err != nil && r.features() <= maxSide && max(r.Height, r.Width, r.Channels) <= maxSide {
			t.Fatal(err)
		}
	})
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte(table), "kind", 3)
	f.Add([]byte("a,b\n1,2\n"), "", 0)
	f.Fuzz(func(t *testing.T, data []byte, target string, classes int) {
		classes = min(max(classes, 0), maxOutputs)
		if classes == 1 {
			return
		}
		r, err := FromCSV(File{"t.csv", data}, Table{target, classes})
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		if n := r.features(); len(r.Features) != r.Count*n || len(r.Labels)+len(r.Values) != r.Count {
			t.Fatalf("%d examples of %d features: %d elements, %d labels, %d values", r.Count, n, len(r.Features), len(r.Labels), len(r.Values))
		}
		r.Shuffle()
		if _, err := r.Encode(r.Count); err != nil && !errors.Is(err, ErrFormat) { // moments may overflow
			t.Fatal(err)
		}
	})
}
