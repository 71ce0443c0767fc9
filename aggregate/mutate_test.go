package aggregate

import (
	"math"
	"reflect"

	"drystone/protocol"
)

// MutateState changes one thing in an encoded state, chosen by pick, which returns a number below n, and encodes it again: a field
// of a struct at any depth, an element more or less, something left out.
func MutateState(data []byte, pick func(n int) int) ([]byte, error) {
	var s state
	if err := snapshotDec.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	mutate(reflect.ValueOf(&s).Elem(), pick)
	return protocol.Encode(&s)
}

func mutate(v reflect.Value, pick func(n int) int) {
	switch v.Kind() {
	case reflect.Struct:
		mutate(v.Field(1+pick(v.NumField()-1)), pick) // the first says how it is encoded
	case reflect.Pointer:
		switch {
		case v.IsNil():
			v.Set(reflect.New(v.Type().Elem()))
		case pick(4) == 0:
			v.SetZero()
		default:
			fresh := reflect.New(v.Type().Elem()) // who shares it keeps the old one
			fresh.Elem().Set(v.Elem())
			v.Set(fresh)
			mutate(v.Elem(), pick)
		}
	case reflect.Slice:
		mutateSlice(v, pick)
	case reflect.Array:
		mutate(v.Index(pick(v.Len())), pick)
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int64:
		v.SetInt([]int64{0, 1, -1, v.Int() + 1, v.Int() - 1, math.MaxInt64}[pick(6)])
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint([]uint64{0, 1, 2, v.Uint() + 1, v.Uint() - 1, uint64(math.MaxUint64) >> (64 - v.Type().Bits())}[pick(6)])
	}
}

func mutateSlice(v reflect.Value, pick func(n int) int) {
	n := v.Len()
	if n == 0 {
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
		return
	}
	own := reflect.MakeSlice(v.Type(), n, n+1)
	reflect.Copy(own, v)
	switch i := pick(n); pick(8) {
	case 0: // one less
		own = reflect.AppendSlice(own.Slice(0, i), v.Slice(i+1, n))
	case 1: // one twice
		own = reflect.Append(own, v.Index(i))
	case 2: // one in another's place
		own.Index(i).Set(v.Index(pick(n)))
	case 3:
		own = own.Slice(0, 0)
	default:
		mutate(own.Index(i), pick)
	}
	v.Set(own)
}

// RestoreState is Restore of a bare state.
func (m *Machine) RestoreState(data []byte) error {
	fresh := Machine{cfg: m.cfg}
	if err := fresh.restore(data); err != nil {
		return err
	}
	*m = fresh
	return nil
}

// StateBytes is the bare state.
func (m *Machine) StateBytes() ([]byte, error) { return protocol.Encode(&m.s) }
