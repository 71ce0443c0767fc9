package aggregate

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"drystone/protocol"
)

// MaxSnapshot bounds a snapshot in bytes.
const MaxSnapshot = 1 << 28

// snapshotDec is less strict in sizes than protocol.Decode, since a snapshot comes from the own disk or from the leader.
func snapshotDec() (cbor.DecMode, error) {
	return cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxArrayElements:  1 << 24,
		MaxNestedLevels:   32,
	}.DecMode()
}

// Snapshot returns the whole state in canonical CBOR. Equal machines have equal snapshots.
func (m *Machine) Snapshot() ([]byte, error) { return protocol.Encode(&m.s) }

// Restore replaces the state by that of a snapshot of the same run. On an error the machine is unchanged.
func (m *Machine) Restore(snapshot []byte) error {
	if len(snapshot) > MaxSnapshot {
		return fmt.Errorf("restore aggregate state: %d bytes, limit %d: %w", len(snapshot), MaxSnapshot, protocol.ErrTooLarge)
	}
	dec, err := snapshotDec()
	if err != nil {
		return fmt.Errorf("restore aggregate state: %w", err)
	}
	var s state
	if err := dec.Unmarshal(snapshot, &s); err != nil {
		return fmt.Errorf("restore aggregate state: %w: %w", protocol.ErrNotCanonical, err)
	}
	if s.Version != stateVersion {
		return fmt.Errorf("restore aggregate state: version %d, this program reads %d", s.Version, stateVersion)
	}
	if s.Phase > PhaseFinished || (s.Phase == PhaseChanging) != (s.Turn != nil) || (s.Phase == PhaseNew) != (s.Genesis == nil) {
		return fmt.Errorf("restore aggregate state: phase %s without what belongs to it", s.Phase)
	}
	if _, err := rangeFactory.NewRange(0, s.Log.Size, s.Log.Hashes); err != nil {
		return fmt.Errorf("restore aggregate state: transparency log: %w", err)
	}
	fresh := Machine{cfg: m.cfg, s: s}
	if s.Genesis != nil {
		fresh.genesis, fresh.council, err = protocol.OpenGenesis(m.cfg.Spec, m.cfg.Run, s.Genesis)
		if err != nil {
			return fmt.Errorf("restore aggregate state: %w", err)
		}
	}
	if s.Council != nil && s.Genesis != nil {
		if fresh.council, err = councilOf(m.cfg.Run, s.Council); err != nil {
			return fmt.Errorf("restore aggregate state: %w", err)
		}
	}
	*m = fresh
	return nil
}
