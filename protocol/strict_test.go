package protocol

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// cat joins byte strings given as []byte, string or int (one byte).
func cat(parts ...any) []byte {
	var out []byte
	for _, p := range parts {
		switch p := p.(type) {
		case []byte:
			out = append(out, p...)
		case string:
			out = append(out, p...)
		case int:
			out = append(out, byte(p))
		}
	}
	return out
}

// RFC 8949, section 4.2.1, and the bounds of Decode: everything but the one canonical encoding is refused. The message is
// a Settlement-sized array with an integer and fixed byte strings: Leave{Run, Peer, Nonce: 5}.
func TestDecodeRefusesArray(t *testing.T) {
	run, id := Hash("run"), DeriveKey(1, "a").ID()
	r, p := cat(0x58, 32, run[:]), cat(0x58, 33, id[:])
	good := cat(0x83, r, p, 5)
	var l Leave
	if err := Decode(good, MaxMessage, &l); err != nil || l != (Leave{Run: run, Peer: id, Nonce: 5}) {
		t.Fatalf("the canonical encoding: %+v %v", l, err)
	}
	for name, data := range map[string][]byte{
		"empty":                       {},
		"truncated":                   good[:len(good)-1],
		"trailing byte":               cat(good, 0),
		"second message behind":       cat(good, good),
		"indefinite array":            cat(0x9f, r, p, 5, 0xff),
		"indefinite byte string":      cat(0x83, 0x5f, r, 0xff, p, 5),
		"array head not shortest":     cat(0x98, 3, r, p, 5),
		"string head not shortest":    cat(0x83, 0x59, 0, 32, run[:], p, 5),
		"integer not shortest, 8 bit": cat(0x83, r, p, 0x18, 5),
		"integer not shortest, 64":    cat(0x83, r, p, 0x1b, 0, 0, 0, 0, 0, 0, 0, 5),
		"too few elements":            cat(0x82, r, p),
		"too many elements":           cat(0x84, r, p, 5, 5),
		"no elements":                 {0x80},
		"map in place of array":       cat(0xa1, 0x63, "Run", r),
		"short byte string":           cat(0x83, 0x58, 31, run[:31], p, 5),
		"long byte string":            cat(0x83, 0x58, 33, run[:], 0, p, 5),
		"empty byte string":           cat(0x83, 0x40, p, 5),
		"text in place of bytes":      cat(0x83, 0x78, 32, bytes.Repeat([]byte("a"), 32), p, 5),
		"integers in place of bytes":  cat(0x83, 0x98, 32, bytes.Repeat([]byte{7}, 32), p, 5),
		"null in place of bytes":      cat(0x83, 0xf6, p, 5),
		"null in place of integer":    cat(0x83, r, p, 0xf6),
		"undefined":                   cat(0x83, r, p, 0xf7),
		"bool in place of integer":    cat(0x83, r, p, 0xf5),
		"negative integer":            cat(0x83, r, p, 0x24),
		"float in place of integer":   cat(0x83, r, p, 0xf9, 0x45, 0),
		"bignum":                      cat(0x83, r, p, 0xc2, 0x41, 5),
		"tagged message":              cat(0xd9, 0xd9, 0xf7, good),
		"tagged integer":              cat(0x83, r, p, 0xc1, 5),
		"reserved length":             cat(0x9c, r, p, 5),
		"array longer than the input": {0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"bytes longer than the input": {0x83, 0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"deep nesting":                cat(bytes.Repeat([]byte{0x81}, maxNesting+1), 0),
		"very deep nesting":           bytes.Repeat([]byte{0x81}, 1<<16),
		"null":                        {0xf6},
		"break alone":                 {0xff},
	} {
		var l Leave
		if err := Decode(data, MaxMessage, &l); !errors.Is(err, ErrNotCanonical) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Decode(good, len(good)-1, &l); !errors.Is(err, ErrTooLarge) {
		t.Errorf("over the limit: %v", err)
	}
}

// pair is one entry of a map, encoded.
type pair struct{ key, value []byte }

// specPairs returns the top-level entries of the canonical RunSpec in their order.
func specPairs(t *testing.T) []pair {
	data, err := Encode(testSpec())
	if err != nil {
		t.Fatal(err)
	}
	var out []pair
	for rest := data[1:]; len(rest) > 0; {
		var k, v cbor.RawMessage
		if rest, err = cbor.UnmarshalFirst(rest, &k); err == nil {
			rest, err = cbor.UnmarshalFirst(rest, &v)
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, pair{k, v})
	}
	if again := mapOf(out...); !bytes.Equal(again, data) {
		t.Fatalf("taken apart and joined: %x, want %x", again, data)
	}
	return out
}

func mapOf(pairs ...pair) []byte {
	out := []byte{0xa0 + byte(len(pairs))}
	for _, p := range pairs {
		out = cat(out, p.key, p.value)
	}
	return out
}

// The RunSpec is the one map: its keys are exactly the known ones, sorted, once each.
func TestDecodeRefusesMap(t *testing.T) {
	pairs := specPairs(t)
	if err := Decode(mapOf(pairs...), MaxSpec, new(RunSpec)); err != nil {
		t.Fatal(err)
	}
	at := func(key string) int {
		return slices.IndexFunc(pairs, func(p pair) bool { return bytes.Equal(p.key, cat(0x60+len(key), key)) })
	}
	with := func(key string, change func(p *pair)) []byte {
		c := slices.Clone(pairs)
		change(&c[at(key)])
		return mapOf(c...)
	}
	value := func(key string, v ...any) []byte { return with(key, func(p *pair) { p.value = cat(v...) }) }
	inner := func(key string, old, new []byte) []byte {
		return with(key, func(p *pair) {
			if bytes.Count(p.value, old) != 1 {
				t.Fatalf("%s holds %x %d times", key, old, bytes.Count(p.value, old))
			}
			p.value = bytes.Replace(p.value, old, new, 1)
		})
	}
	swapped := slices.Clone(pairs)
	swapped[0], swapped[1] = swapped[1], swapped[0]
	i := at("seed")
	for name, data := range map[string][]byte{
		"unsorted keys":          mapOf(swapped...),
		"missing key":            mapOf(slices.Delete(slices.Clone(pairs), i, i+1)...),
		"duplicate key":          mapOf(slices.Insert(slices.Clone(pairs), i, pairs[i])...),
		"unknown key":            mapOf(append(slices.Clone(pairs), pair{cat(0x65, "zzzzz"), []byte{0}})...),
		"key of other case":      with("seed", func(p *pair) { p.key = cat(0x64, "Seed") }),
		"key as byte string":     with("seed", func(p *pair) { p.key = cat(0x44, "seed") }),
		"integer key":            with("seed", func(p *pair) { p.key = []byte{7} }),
		"indefinite text":        value("name", 0x7f, 0x61, "a", 0xff),
		"invalid UTF-8":          value("name", 0x62, 0xc3, 0x28),
		"bytes in place of text": value("name", 0x41, "a"),
		"array in place of map":  value("outer", 0x80),
		"indefinite map":         value("outer", 0xbf, 0xff),
		"empty inner map":        value("outer", 0xa0),
		"float 64 for 3":         inner("aggregate", cat(0xf9, 0x42, 0), cat(0xfb, 0x40, 8, 0, 0, 0, 0, 0, 0)),
		"float 32 for 3":         inner("aggregate", cat(0xf9, 0x42, 0), cat(0xfa, 0x40, 0x40, 0, 0)),
		"integer for float":      inner("aggregate", cat(0xf9, 0x42, 0), cat(3)),
		"NaN":                    inner("aggregate", cat(0xf9, 0x42, 0), cat(0xf9, 0x7e, 0)),
		"infinity":               inner("aggregate", cat(0xf9, 0x42, 0), cat(0xf9, 0x7c, 0)),
	} {
		if err := Decode(data, MaxSpec, new(RunSpec)); !errors.Is(err, ErrNotCanonical) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := DecodeSpec(data, Hash(DomainRun, data)); err == nil {
			t.Errorf("%s: DecodeSpec accepts it", name)
		}
	}
	good := mapOf(pairs...)
	if _, err := DecodeSpec(good, Hash("other")); err == nil {
		t.Error("another RunID accepted")
	}
	if _, err := DecodeSpec(append(good, make([]byte, MaxSpec)...), mustID(t, testSpec())); !errors.Is(err, ErrTooLarge) {
		t.Errorf("oversize spec: %v", err)
	}
}

// Values without an encoding are refused on the way out too.
func TestEncodeRefuses(t *testing.T) {
	s := testSpec()
	s.Train.LR /= 0.0 * s.Train.LR
	if _, err := s.ID(); err == nil {
		t.Error("a spec with an infinite learning rate has a RunID")
	}
}

// A hostile message of the greatest size, all of it array heads, may cost a bounded multiple of its size. The bound here
// counts everything ever allocated, garbage too; what is alive at one time is less.
func TestDecodeAllocationBounded(t *testing.T) {
	const limit = MaxMessage
	fill := func(head ...int) []byte {
		out := make([]byte, 0, limit)
		for _, h := range head {
			out = append(out, byte(h))
		}
		return out
	}
	elements := func(elem byte) []byte { return append([]byte{0x99, 0x40, 0}, bytes.Repeat([]byte{elem}, maxArray)...) }
	aggs := append(append(fill(0x87, 0x40), elements(0x80)...), 0, 0x40, 0x40, 0, 0x80)
	set := append(fill(0x81), elements(0x80)...)
	// openings with 20 chunks, each of three paths of 16,384 nodes of one byte
	paths := func(elem byte) []byte {
		out := append(fill(0x8a), 0x84, 0, 0x40, 0x40, 0x40, 0x83, 0, 0, 0x80, 0x84, 0, 0x40, 0x40, 0x40, 0x83, 0, 0, 0x80,
			0x84, 0, 0x40, 0x40, 0x40, 0x83, 0, 0, 0x80, 0x40, 0x40, 0x40, 0x94)
		for range 20 {
			out = append(out, 0x87, 0)
			for range 3 {
				out = append(append(out, 0x40, 0x83, 0, 0), elements(elem)...)
			}
		}
		return out
	}
	for name, tt := range map[string]struct {
		data []byte
		into any // nil for an Opening
	}{
		"aggregators": {aggs, new(Genesis)}, "reveal set": {set, new(RevealSet)}, "roster": {append(fill(0x83, 0x40, 0x40), elements(0x40)...), new(Open)},
		"paths of empty nodes": {paths(0x40), nil}, "paths of wrong nodes": {paths(0x60), nil},
		"array over the limit of elements": {append(fill(0x81, 0x99, 0x40, 1), make([]byte, maxArray+1)...), new(RevealSet)},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var err error
		if tt.into == nil {
			_, err = DecodeOpening(tt.data, limit)
		} else {
			err = Decode(tt.data, limit, tt.into)
		}
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrNotCanonical) {
			t.Errorf("%s: %v", name, err)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 8*limit {
			t.Errorf("%s: %d bytes allocated for %d bytes of input", name, got, len(tt.data))
		} else {
			t.Logf("%s: %d bytes allocated for %d bytes of input", name, got, len(tt.data))
		}
	}
}
