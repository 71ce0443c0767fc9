package delta

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// fields joins bit fields, written "value:width", into bytes.
func fields(text string) []byte {
	var bits []bool
	for _, f := range strings.Fields(text) {
		var v, width int
		if _, err := fmt.Sscanf(f, "%v:%d", &v, &width); err != nil {
			panic(err)
		}
		for b := range width {
			bits = append(bits, v>>b&1 == 1)
		}
	}
	return pack(bits)
}

// Every change of a canonical chunk that still decodes to the same values is refused.
func TestOneEncoding(t *testing.T) {
	c := mustNew(t, sparseSpec(3))
	chunk := func(scale uint16, index [3]int, code [3]int, pad int) []byte {
		v := uint64(scale) | uint64(pad)<<58
		for i := range 3 {
			v |= uint64(index[i])<<(16+12*i) | uint64(code[i])<<(52+2*i)
		}
		b := make([]byte, 8)
		for i := range b {
			b[i] = byte(v >> (8 * i))
		}
		return b
	}
	for _, tt := range []struct {
		name string
		data []byte
		ok   bool
	}{
		{"three", chunk(0x3c00, [3]int{0, 5, 4095}, [3]int{0, 1, 3}, 0), true},
		{"one", chunk(0x3c00, [3]int{0, 0, 0}, [3]int{2, 0, 0}, 0), true},
		{"none", chunk(0, [3]int{}, [3]int{}, 0), true},
		{"scale without entry is +scale at 0", chunk(1, [3]int{}, [3]int{}, 0), true},
		{"all double", chunk(0x3c00, [3]int{1, 2, 3}, [3]int{1, 3, 1}, 0), false},
		{"infinite scale", chunk(0x7c00, [3]int{1, 2, 3}, [3]int{0, 3, 1}, 0), false},
		{"negative scale", chunk(0xbc00, [3]int{1, 2, 3}, [3]int{0, 3, 1}, 0), false},
		{"negative zero", chunk(0x8000, [3]int{}, [3]int{}, 0), false},
		{"zero scale with index", chunk(0, [3]int{1}, [3]int{}, 0), false},
		{"zero scale with code", chunk(0, [3]int{}, [3]int{2}, 0), false},
		{"order", chunk(0x3c00, [3]int{2, 1, 3}, [3]int{}, 0), false},
		{"twice", chunk(0x3c00, [3]int{2, 2, 3}, [3]int{}, 0), false},
		{"entry after unused", chunk(0x3c00, [3]int{2, 0, 3}, [3]int{}, 0), false},
		{"unused with code", chunk(0x3c00, [3]int{2, 0, 0}, [3]int{0, 0, 1}, 0), false},
		{"padding", chunk(0x3c00, [3]int{0, 5, 4095}, [3]int{0, 1, 3}, 1), false},
	} {
		err := c.Validate(tt.data, ChunkParams)
		if tt.ok != (err == nil) || err != nil && !errors.Is(err, ErrNotCanonical) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if tt.ok && !bytes.Equal(reencode(c, sparseSpec(3), tt.data, ChunkParams), tt.data) {
			t.Errorf("%s: does not re-encode to itself", tt.name)
		}
	}
	if err := c.Validate(chunk(0x3c00, [3]int{0, 5, 9}, [3]int{0, 1, 3}, 0), 9); !errors.Is(err, ErrNotCanonical) {
		t.Errorf("index beyond a short chunk: %v", err)
	}
}

// Every change of a canonical rice payload that still decodes to the same values is refused, and so is all that decodes
// to none. With 3 entries in 64 parameters r = 3; 0x3c00 is 1, 0xbc00 the same with P.
func TestOneRiceEncoding(t *testing.T) {
	spec := topK("rice", 3, 2)
	c := mustNew(t, spec)
	for _, tt := range []struct {
		name, chunk string
		ok          bool
	}{
		{"three", "0x3c00:16 0:2 1:2 3:2 1:1 0:3 1:1 4:3 4:3 7:3", true}, // 0, 5, 28
		{"two", "0xbc00:16 2:2 0:2 1:2 1:1 2:3 128:8 4:3", true},         // 2, 63
		{"one", "0xbc00:16 1:2 2:2 1:1 7:3", true},
		{"none", "", true},
		{"none with scale", "0x3c00:16 0:8", false},
		{"none with count", "0xbc00:16 0:8", false},
		{"none at scale 0", "0:16 0:8", false},
		{"scale 0", "0:16 0:2 1:2 3:2 1:1 0:3 1:1 4:3 4:3 7:3", false},
		{"scale 0 with P", "0x8000:16 1:2 2:2 1:1 7:3", false},
		{"infinite scale", "0x7c00:16 0:2 1:2 3:2 1:1 0:3 1:1 4:3 4:3 7:3", false},
		{"three with P", "0xbc00:16 3:2 0:2 1:2 3:2 1:1 0:3 1:1 4:3 4:3 7:3", false},
		{"all double", "0x3c00:16 1:2 1:2 3:2 1:1 0:3 1:1 4:3 4:3 7:3", false},
		{"beyond the chunk", "0xbc00:16 2:2 0:2 1:2 1:1 2:3 128:8 5:3", false},
		{"padding", "0x3c00:16 0:2 1:2 3:2 1:1 0:3 1:1 4:3 4:3 7:3 1:3", false},
		{"a byte more", "0x3c00:16 0:2 1:2 3:2 1:1 0:3 1:1 4:3 4:3 7:3 0:11", false},
		{"cut in a gap", "0x3c00:16 0:2 1:2 3:2 1:1 0:3 1:1 4:3", false},
		{"cut in a unary number", "0x3c00:16 0:2 1:2 3:2 1:1 0:3 1:1 4:3 0:10", false},
		{"no one at all", "0x3c00:16 0:20", false},
		{"one byte", "0x3c:8", false},
		{"scale only", "0x3c00:16", false},
	} {
		chunk := fields(tt.chunk)
		payload := append([]byte{byte(len(chunk))}, chunk...)
		err := c.Validate(payload, 64)
		if tt.ok != (err == nil) || err != nil && !errors.Is(err, ErrNotCanonical) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if tt.ok && !bytes.Equal(reencode(c, spec, payload, 64), payload) {
			t.Errorf("%s: does not re-encode to itself", tt.name)
		}
		// A table that does not fit the chunks.
		for _, length := range []int{len(chunk) - 1, len(chunk) + 1} {
			payload[0] = byte(length)
			if err := c.Validate(payload, 64); err == nil {
				t.Errorf("%s: length %d for %d bytes is valid", tt.name, length, len(chunk))
			}
			if _, err := c.Chunk(payload, 64, 0); !errors.Is(err, ErrLength) {
				t.Errorf("%s: length %d for %d bytes: %v", tt.name, length, len(chunk), err)
			}
		}
	}
}

// Wider values belong to the scale whose highest level is in use.
func TestOneEncodingOfWiderValues(t *testing.T) {
	for _, tt := range []struct {
		name, up string
		k, bits  int
		chunk    string // of 3 parameters
		ok       bool
	}{
		{"levels 8 and -3", "sparse", 2, 4, "0x3c00:16 0:12 2:12 7:4 10:4", true},
		{"only -8", "sparse", 2, 4, "0x3c00:16 1:12 0:12 15:4 0:4", true},
		{"zero", "sparse", 2, 4, "0:16 0:32", true},
		{"no 8", "sparse", 2, 4, "0x3c00:16 0:12 2:12 6:4 10:4", false},
		{"scale only", "sparse", 2, 4, "0x3c00:16 0:32", false},
		{"unused code", "sparse", 2, 4, "0x3c00:16 1:12 0:12 15:4 1:4", false},
		{"levels 127, 0, -1", "int8", 0, 0, "0x3c00:16 127:8 0:8 255:8", true},
		{"level -127", "int8", 0, 0, "0x3c00:16 0x81:8 0:8 255:8", true},
		{"zero", "int8", 0, 0, "0:40", true},
		{"level -128", "int8", 0, 0, "0x3c00:16 127:8 0:8 128:8", false},
		{"no 127", "int8", 0, 0, "0x3c00:16 126:8 0:8 255:8", false},
		{"all zero", "int8", 0, 0, "0x3c00:16 0:24", false},
		{"scale 0", "int8", 0, 0, "0:16 127:8 0:8 255:8", false},
		{"negative scale", "int8", 0, 0, "0xbc00:16 127:8 0:8 255:8", false},
		{"negative zero", "int8", 0, 0, "0x8000:16 0:24", false},
		{"infinite scale", "int8", 0, 0, "0x7c00:16 127:8 0:8 255:8", false},
		{"masked", "masked", 2, 0, "0x3c00:16 0x81:8 5:8", true},
		{"masked, no 127", "masked", 2, 0, "0x3c00:16 1:8 5:8", false},
	} {
		spec := topK(tt.up, tt.k, tt.bits)
		c, chunk := mustNew(t, spec), fields(tt.chunk)
		err := c.Validate(chunk, 3)
		if tt.ok != (err == nil) || err != nil && !errors.Is(err, ErrNotCanonical) {
			t.Errorf("%s, %s: %v", tt.up, tt.name, err)
		}
		if tt.ok && !bytes.Equal(reencode(c, spec, chunk, 3), chunk) {
			t.Errorf("%s, %s: does not re-encode to itself", tt.up, tt.name)
		}
	}
}
