package aggregate

import (
	"bytes"
	"fmt"
	"reflect"

	"github.com/fxamacker/cbor/v2"

	"drystone/protocol"
)

// MaxSnapshot bounds a snapshot in bytes.
const MaxSnapshot = 1 << 28

// snapshotDec is less strict in sizes than protocol.Decode; footprint bounds what it allocates.
var snapshotDec = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxArrayElements:  1 << 24,
		MaxNestedLevels:   maxLevels,
	}.DecMode()
	if err != nil {
		panic(err) // the options are constants: no program starts with it
	}
	return mode
}()

// Snapshot returns the whole state in canonical CBOR. Equal machines have equal snapshots.
func (m *Machine) Snapshot() ([]byte, error) { return protocol.Encode(&m.s) }

// Restore replaces the state by that of a snapshot of the same run. On an error the machine is unchanged.
func (m *Machine) Restore(snapshot []byte) error {
	if len(snapshot) > MaxSnapshot {
		return fmt.Errorf("restore aggregate state: %d bytes, limit %d: %w", len(snapshot), MaxSnapshot, protocol.ErrTooLarge)
	}
	fresh := Machine{cfg: m.cfg}
	if err := fresh.restore(snapshot); err != nil {
		return fmt.Errorf("restore aggregate state: %w", err)
	}
	*m = fresh
	return nil
}

// restore decodes a state into a machine that has none, and checks it.
func (m *Machine) restore(data []byte) error {
	if cost := footprint(data, reflect.TypeFor[state]()); cost > maxCost {
		return fmt.Errorf("%d bytes that would take %d in memory: %w", len(data), cost, protocol.ErrTooLarge)
	}
	s := &m.s
	if err := snapshotDec.Unmarshal(data, s); err != nil {
		return fmt.Errorf("%w: %w", protocol.ErrNotCanonical, err)
	}
	if s.Version != stateVersion {
		return fmt.Errorf("version %d, this program reads %d", s.Version, stateVersion)
	}
	if again, err := protocol.Encode(s); err != nil || !bytes.Equal(again, data) {
		return protocol.ErrNotCanonical
	}
	if s.Genesis != nil {
		if err := m.restoreCouncil(); err != nil {
			return err
		}
		m.rank()
	}
	return m.coherent()
}

// restoreCouncil opens the Genesis, and finds the set that signs now.
func (m *Machine) restoreCouncil() (err error) {
	m.genesis, m.council, err = protocol.OpenGenesis(m.cfg.Spec, m.cfg.Run, m.s.Genesis)
	switch {
	case err != nil:
		return err
	case m.genesis.Params != uint64(m.cfg.Params):
		return incoherent("Genesis of a model of %d parameters, want %d", m.genesis.Params, m.cfg.Params)
	case m.s.Council == nil:
		return nil
	}
	if m.council, err = councilOf(m.cfg.Run, m.s.Council); err != nil {
		return err
	}
	n := len(m.council.Members)
	if n < 1 || n > protocol.MaxSigners || m.council.Threshold != m.cfg.Spec.Quorum.Of(n) {
		return incoherent("council of threshold %d of %d", m.council.Threshold, n)
	}
	members := func(a *protocol.Aggregator) protocol.PeerID { return a.ID }
	if !ascending(m.council.Members, members) {
		return incoherent("council not in ascending order")
	}
	return nil
}
