package models

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// file returns a good file of the model "tied".
func file(t testing.TB) []byte {
	theta, err := Init(specs["tied"], [32]byte{2})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WriteSafetensors(&b, specs["tied"], theta, map[string]string{"run": "\"é\n"}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSafetensorsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := drawSpec(t)
		theta, err := Init(spec, [32]byte{1})
		if err != nil {
			t.Fatal(err)
		}
		theta[0], theta[1] = float32(math.Copysign(0, -1)), math.SmallestNonzeroFloat32
		meta := rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "meta")
		var b bytes.Buffer
		if err := WriteSafetensors(&b, spec, theta, meta); err != nil {
			t.Fatal(err)
		}
		if n := binary.LittleEndian.Uint64(b.Bytes()); n%8 != 0 || b.Len() != 8+int(n)+4*len(theta) {
			t.Fatalf("header of %d bytes, file of %d", n, b.Len())
		}
		got, gotMeta, err := ReadSafetensors(iotest.OneByteReader(&b), spec)
		if err != nil || digest(got) != digest(theta) {
			t.Fatalf("read back: %v", err)
		}
		if _, set := meta["format"]; !set {
			meta["format"] = "pt"
		}
		if !maps.Equal(meta, gotMeta) {
			t.Fatalf("metadata %q, want %q", gotMeta, meta)
		}
	})
}

// TestSafetensorsHeader checks the format as its specification draws it, with a decoder that is not ours.
func TestSafetensorsHeader(t *testing.T) {
	data := file(t)
	n := binary.LittleEndian.Uint64(data)
	var header map[string]struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
		Format  string `json:"format"`
	}
	if err := json.Unmarshal(data[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	if header[metadataKey].Format != "pt" {
		t.Error("no format in the metadata")
	}
	q := header["model.layers.1.self_attn.k_proj.weight"]
	if q.DType != "F32" || !slices.Equal(q.Shape, []int{4, 8}) || q.Offsets[1]-q.Offsets[0] != 4*4*8 {
		t.Errorf("k_proj is %+v", q)
	}
}

// TestSafetensorsAnyOrder: a reader may not rely on the order of tensors.
func TestSafetensorsAnyOrder(t *testing.T) {
	spec := specs["one"]
	params, total, _ := Layout(spec)
	var entries []string
	var data []byte
	for i := len(params) - 1; i >= 0; i-- {
		p, at := params[i], len(data)
		for j := range p.Len {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(p.Offset+j)))
		}
		shape, _ := json.Marshal(p.Shape)
		entries = append(entries, fmt.Sprintf(`%q: {"shape": %s, "data_offsets": [%d, %d], "dtype": "F32"}`, p.Name, shape, at, len(data)))
	}
	slices.Sort(entries)
	theta, meta, err := ReadSafetensors(bytes.NewReader(withHeader("{"+strings.Join(entries, ", ")+"}  ", data)), spec)
	if err != nil || meta != nil || len(theta) != total {
		t.Fatalf("%d elements, metadata %v, %v", len(theta), meta, err)
	}
	for i, v := range theta {
		if v != float32(i) {
			t.Fatalf("element %d is %v", i, v)
		}
	}
}

func withHeader(header string, data []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func TestSafetensorsRefuses(t *testing.T) {
	good := file(t)
	n := binary.LittleEndian.Uint64(good)
	header, data := string(good[8:8+n]), good[8+n:]
	edit := func(old, new string) []byte {
		if !strings.Contains(header, old) {
			t.Fatalf("header lacks %q", old)
		}
		return withHeader(strings.Replace(header, old, new, 1), data)
	}
	nan := slices.Clone(good)
	binary.LittleEndian.PutUint32(nan[len(nan)-4:], 0x7fc00000)
	const embed = `"model.embed_tokens.weight":{"dtype":"F32","shape":[10,8],"data_offsets":[0,320]}`
	for name, b := range map[string][]byte{
		"empty": nil, "short length": good[:5], "length": binary.LittleEndian.AppendUint64(nil, math.MaxUint64),
		"header too long": withHeader(header+strings.Repeat(" ", 3<<20), data), "short header": good[:100],
		"short data": good[:len(good)-1], "long data": append(slices.Clone(good), 0), "NaN": nan,
		"not an object": withHeader(`[1]`, data), "no header": withHeader("", data), "leading space": withHeader(" "+header, data),
		"two objects": withHeader(strings.TrimRight(header, " ")+"{}", data), "empty object": withHeader("{}", data),
		"dtype":              edit(`"dtype":"F32"`, `"dtype":"F16"`),
		"shape":              edit(`"shape":[10,8]`, `"shape":[8,10]`),
		"fraction":           edit(`"shape":[10,8]`, `"shape":[10,8.5]`),
		"negative offset":    edit(`[0,320]`, `[-1,320]`),
		"gap":                edit(`[0,320]`, `[4,324]`),
		"backwards":          edit(`[0,320]`, `[320,0]`),
		"overflow":           edit(`[0,320]`, `[18446744073709551612,316]`),
		"three offsets":      edit(`[0,320]`, `[0,320,320]`),
		"duplicate tensor":   edit(embed, embed+","+embed),
		"duplicate field":    edit(`"dtype":"F32"`, `"dtype":"F16","dtype":"F32"`),
		"unknown field":      edit(`"dtype":"F32"`, `"Dtype":"F32"`),
		"unknown tensor":     edit(`"model.norm.weight"`, `"model.norm.bias"`),
		"missing tensor":     edit(embed+",", ""),
		"metadata value":     edit(`"format":"pt"`, `"format":1`),
		"metadata null":      edit(`"format":"pt"`, `"format":null`),
		"duplicate metadata": edit(`"format":"pt"`, `"format":"pt","format":"pt"`),
	} {
		if theta, _, err := ReadSafetensors(bytes.NewReader(b), specs["tied"]); !errors.Is(err, ErrSafetensors) || theta != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := ReadSafetensors(bytes.NewReader(good), specs["tied"]); err != nil {
		t.Errorf("the good file: %v", err)
	}
	if _, _, err := ReadSafetensors(iotest.TimeoutReader(bytes.NewReader(good)), specs["tied"]); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("failing reader: %v", err)
	}
}

func TestWriteSafetensorsRefuses(t *testing.T) {
	theta, err := Init(specs["tied"], [32]byte{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WriteSafetensors(&b, specs["tied"], theta[1:], nil); err == nil {
		t.Error("wrong length accepted")
	}
	if err := WriteSafetensors(&b, specs["tied"], theta, map[string]string{"x": strings.Repeat("x", maxHeader(100))}); err == nil {
		t.Error("header that no reader takes accepted")
	}
	theta[5] = float32(inf)
	if err := WriteSafetensors(&b, specs["tied"], theta, nil); err == nil {
		t.Error("infinity accepted")
	}
}

// FuzzReadSafetensors: no panic, and what is accepted is written and read again as the same.
func FuzzReadSafetensors(f *testing.F) {
	good := file(f)
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add(withHeader(`{"__metadata__":{}}`, nil))
	spec := specs["tied"]
	f.Fuzz(func(t *testing.T, data []byte) {
		theta, meta, err := ReadSafetensors(bytes.NewReader(data), spec)
		if err != nil {
			if !errors.Is(err, ErrSafetensors) {
				t.Fatal(err)
			}
			return
		}
		var b bytes.Buffer
		if err := WriteSafetensors(&b, spec, theta, meta); err != nil {
			t.Fatal(err)
		}
		again, _, err := ReadSafetensors(&b, spec)
		if err != nil || digest(again) != digest(theta) {
			t.Fatalf("second reading: %v", err)
		}
	})
}
