package aggregate

import (
	"encoding/binary"
	"reflect"

	"github.com/fxamacker/cbor/v2"
)

// maxLevels is how deep a snapshot nests at most.
const maxLevels = 32

// maxCost bounds what a snapshot takes in memory, in bytes. An honest one takes about three times its length; one of nothing but
// empty elements would take hundreds of times that.
const maxCost = 4 * MaxSnapshot

// footprint returns how many bytes the arrays and strings in data take that decode into a value of type t, before anything is
// allocated for them. What does not fit the type counts as if it did: decoding refuses it.
func footprint(data []byte, t reflect.Type) int {
	w := weigher{data: data}
	w.item(t, 0)
	return w.cost
}

type weigher struct {
	data []byte // not read yet; empty after anything malformed
	cost int
}

var unmarshaler = reflect.TypeFor[cbor.Unmarshaler]()

// item reads one data item that decodes into a value of type t, nil for one that is unknown.
func (w *weigher) item(t reflect.Type, level int) {
	major, n, ok := w.head()
	if !ok || level > maxLevels {
		w.data = nil
		return
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
		w.cost += int(t.Size())
	}
	switch major {
	case majorBytes, majorText:
		if n > uint64(len(w.data)) {
			w.data = nil
			return
		}
		w.cost, w.data = w.cost+int(n), w.data[n:]
	case majorArray:
		w.array(t, n, level)
	case majorMap, majorTag: // no state has one
		w.data = nil
	}
}

// array reads the n items of an array.
func (w *weigher) array(t reflect.Type, n uint64, level int) {
	if n > uint64(len(w.data)) { // every item has a byte at least
		w.data = nil
		return
	}
	field := func(int) reflect.Type { return nil }
	switch {
	case t == nil:
		w.cost += int(n) * 16
	case reflect.PointerTo(t).Implements(unmarshaler): // one message, which it decodes by itself
	case t.Kind() == reflect.Slice:
		w.cost += int(n) * int(t.Elem().Size())
		field = func(int) reflect.Type { return t.Elem() }
	case t.Kind() == reflect.Struct:
		field = func(i int) reflect.Type { // the first field says how the struct is encoded
			if i+1 < t.NumField() {
				return t.Field(i + 1).Type
			}
			return nil
		}
	}
	for i := 0; i < int(n) && len(w.data) > 0 && w.cost <= maxCost; i++ {
		w.item(field(i), level+1)
	}
}

// Major types of CBOR (RFC 8949, section 3.1) that have contents.
const (
	majorBytes = 2
	majorText  = 3
	majorArray = 4
	majorMap   = 5
	majorTag   = 6
)

// head reads the head of a data item: its major type and its argument.
func (w *weigher) head() (major byte, n uint64, ok bool) {
	if len(w.data) == 0 {
		return 0, 0, false
	}
	b := w.data[0]
	major, n, w.data = b>>5, uint64(b&31), w.data[1:]
	if n < 24 {
		return major, n, true
	}
	size := 1 << (n - 24)
	if n > 27 || len(w.data) < size {
		return 0, 0, false // indefinite lengths included
	}
	var arg [8]byte
	copy(arg[8-size:], w.data)
	w.data = w.data[size:]
	return major, binary.BigEndian.Uint64(arg[:]), true
}
