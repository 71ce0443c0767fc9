package examples

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Set is a dataset in its encoded form, checked. It is immutable and safe for concurrent use.
type Set struct {
	Header
	records []byte
}

// Is reports whether data begins as an encoded Set does.
func Is(data []byte) bool { return bytes.HasPrefix(data, []byte(magic)) }

// Open checks data, which it keeps, and every example in it. Errors wrap ErrFormat and name the example, the feature and
// the byte offset.
func Open(data []byte) (*Set, error) {
	h, err := ReadHeader(data)
	if err != nil {
		return nil, err
	}
	records := data[h.size():]
	if want := uint64(h.Count) * uint64(h.record()); uint64(len(records)) != want { // below 2^40 * 2^20
		return nil, fmt.Errorf("%w: %d bytes of records, %d examples of %d bytes make %d", ErrFormat, len(records), h.Count, h.record(), want)
	}
	s := &Set{h, records}
	if err := s.checkRecords(); err != nil {
		return nil, err
	}
	return s, nil
}

// checkRecords refuses what no model can read: NaN, infinities, also after standardising, and classes that there are not.
func (s *Set) checkRecords() error {
	x, y := make([]float32, s.Features()), make([]float32, s.Values)
	at := func(i, offset int) int { return s.size() + i*s.record() + offset }
	for i := range s.Count {
		s.Read(i, x)
		for j, v := range x {
			if !finite(v) {
				return fmt.Errorf("%w: example %d, feature %d (byte %d): %v", ErrFormat, i, j, at(i, j*s.element), v)
			}
		}
		if s.Classes > 0 {
			if c := s.Class(i); int(uint32(c)) >= s.Classes {
				return fmt.Errorf("%w: example %d (byte %d): class %d of %d", ErrFormat, i, at(i, len(x)*s.element), uint32(c), s.Classes)
			}
			continue
		}
		s.Targets(i, y)
		for j, v := range y {
			if !finite(v) {
				return fmt.Errorf("%w: example %d, value %d (byte %d): %v", ErrFormat, i, j, at(i, len(x)*s.element+4*j), v)
			}
		}
	}
	return nil
}

// Read fills x (Features) with the standardised features of example i.
func (s *Set) Read(i int, x []float32) {
	r := s.records[i*s.record():][:s.Features()*s.element]
	if s.element == elementByte {
		for j, v := range r {
			x[j] = float32(v)
		}
	} else {
		for j := range x {
			x[j] = float(r[4*j:])
		}
	}
	standardise(x, s.Mean, s.Scale)
}

// Class returns the class of example i.
func (s *Set) Class(i int) int32 { return int32(binary.LittleEndian.Uint32(s.target(i))) }

// Targets fills y (Values) with the standardised values of example i.
func (s *Set) Targets(i int, y []float32) {
	r := s.target(i)
	for j := range y {
		y[j] = float(r[4*j:])
	}
	standardise(y, s.ValueMean, s.ValueScale)
}

func (s *Set) target(i int) []byte {
	return s.records[i*s.record()+s.Features()*s.element:][:s.targetBytes()]
}

// standardise is x = (x - mean) * scale, with one constant of each for all or one for each.
func standardise(x, mean, scale []float32) {
	if len(mean) == 1 {
		m, c := mean[0], scale[0]
		for j, v := range x {
			x[j] = float32(v-m) * c
		}
		return
	}
	for j, v := range x {
		x[j] = float32(v-mean[j]) * scale[j]
	}
}
