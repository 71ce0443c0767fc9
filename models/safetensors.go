package models

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"drystone/protocol"
)

// ErrSafetensors is wrapped by ReadSafetensors when the input is not the expected file.
var ErrSafetensors = errors.New("models: bad safetensors file")

const (
	metadataKey = "__metadata__"
	maxMetadata = 1 << 20
	ioChunk     = 1 << 16 // bytes converted at a time
)

// maxHeader bounds the JSON header for n tensors.
func maxHeader(n int) int { return maxMetadata + 512*n }

// WriteSafetensors writes theta as float32 tensors under the names of Layout, in its order. meta goes into the
// metadata; "format" is set to "pt", without which Hugging Face's loader refuses a file, unless meta says otherwise. The
// bytes are a function of the arguments. It refuses a theta of the wrong length or with elements that are not finite.
func WriteSafetensors(w io.Writer, spec protocol.ModelSpec, theta []float32, meta map[string]string) error {
	params, total, err := Layout(spec)
	if err != nil {
		return err
	}
	if len(theta) != total {
		return fmt.Errorf("models: theta has %d elements, the spec has %d", len(theta), total)
	}
	header, err := encodeHeader(params, meta)
	if err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return fmt.Errorf("models: writing safetensors: %w", err)
	}
	buf := make([]byte, 0, ioChunk)
	for i, v := range theta {
		if !finite(v) {
			return fmt.Errorf("models: writing safetensors: element %d of theta is %v", i, v)
		}
		buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		if len(buf) == ioChunk || i == len(theta)-1 {
			if _, err := w.Write(buf); err != nil {
				return fmt.Errorf("models: writing safetensors: %w", err)
			}
			buf = buf[:0]
		}
	}
	return nil
}

// encodeHeader returns the length field and the JSON header, padded with spaces to a multiple of 8 bytes.
func encodeHeader(params []Param, meta map[string]string) ([]byte, error) {
	all := map[string]string{"format": "pt"}
	maps.Copy(all, meta)
	m, err := json.Marshal(all) // sorts keys
	if err != nil {
		return nil, fmt.Errorf("models: safetensors metadata: %w", err)
	}
	var b bytes.Buffer
	b.Write(make([]byte, 8))
	fmt.Fprintf(&b, `{%q:%s`, metadataKey, m)
	for _, p := range params {
		shape, _ := json.Marshal(p.Shape)
		fmt.Fprintf(&b, `,%q:{"dtype":"F32","shape":%s,"data_offsets":[%d,%d]}`, p.Name, shape, 4*p.Offset, 4*(p.Offset+p.Len))
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	n := b.Len() - 8
	if n > maxHeader(len(params)) {
		return nil, fmt.Errorf("models: safetensors metadata is too long: header of %d bytes, want at most %d", n, maxHeader(len(params)))
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(n))
	return b.Bytes(), nil
}

// ReadSafetensors reads a file that holds exactly the tensors of Layout(spec), all F32, in any order but without gaps,
// and returns theta in the order of Layout and the metadata. Anything else is refused with an error that wraps
// ErrSafetensors: other tensors or shapes, duplicate keys, NaN and infinities, bytes missing or left over. Memory is
// bounded by the spec: the header by 1 MiB and 512 bytes a tensor, and theta is allocated only after a good header.
func ReadSafetensors(r io.Reader, spec protocol.ModelSpec) (theta []float32, meta map[string]string, err error) {
	params, total, err := Layout(spec)
	if err != nil {
		return nil, nil, err
	}
	entries, meta, err := readHeader(r, params)
	if err != nil {
		return nil, nil, err
	}
	theta = make([]float32, total)
	buf := make([]byte, ioChunk)
	for _, e := range entries {
		if err := readTensor(r, e.param, theta[e.param.Offset:][:e.param.Len], buf); err != nil {
			return nil, nil, err
		}
	}
	switch n, err := io.ReadFull(r, buf[:1]); {
	case n > 0:
		return nil, nil, fmt.Errorf("%w: data after the last tensor", ErrSafetensors)
	case err != io.EOF:
		return nil, nil, fmt.Errorf("models: reading safetensors: %w", err)
	}
	return theta, meta, nil
}

// entry is one tensor of a file: data bytes [begin, end).
type entry struct {
	param      Param
	begin, end uint64
}

// readHeader returns the tensors in the order of their data, which tile it.
func readHeader(r io.Reader, params []Param) ([]entry, map[string]string, error) {
	var length [8]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, nil, fmt.Errorf("%w: reading the header length: %w", ErrSafetensors, err)
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > uint64(maxHeader(len(params))) {
		return nil, nil, fmt.Errorf("%w: header of %d bytes: want at most %d", ErrSafetensors, n, maxHeader(len(params)))
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, nil, fmt.Errorf("%w: reading the header: %w", ErrSafetensors, err)
	}
	entries, meta, err := decodeHeader(header, params)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: header: %w", ErrSafetensors, err)
	}
	slices.SortFunc(entries, func(a, b entry) int {
		if a.begin < b.begin {
			return -1
		}
		return 1
	})
	at := uint64(0)
	for _, e := range entries {
		if e.begin != at || e.end < e.begin || e.end-e.begin != 4*uint64(e.param.Len) {
			return nil, nil, fmt.Errorf("%w: %s: data_offsets [%d, %d]: want [%d, %d]", ErrSafetensors, e.param.Name, e.begin, e.end, at, at+4*uint64(e.param.Len))
		}
		at = e.end
	}
	return entries, meta, nil
}

func readTensor(r io.Reader, p Param, dst []float32, buf []byte) error {
	for len(dst) > 0 {
		chunk := buf[:min(len(buf), 4*len(dst))]
		if _, err := io.ReadFull(r, chunk); err != nil {
			return fmt.Errorf("%w: reading %s: %w", ErrSafetensors, p.Name, err)
		}
		for i := range len(chunk) / 4 {
			v := math.Float32frombits(binary.LittleEndian.Uint32(chunk[4*i:]))
			if !finite(v) {
				return fmt.Errorf("%w: %s holds %v", ErrSafetensors, p.Name, v)
			}
			dst[i] = v
		}
		dst = dst[len(chunk)/4:]
	}
	return nil
}

func finite(v float32) bool { return v-v == 0 }
