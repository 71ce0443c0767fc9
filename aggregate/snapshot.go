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
	if err := s.coherent(); err != nil {
		return fmt.Errorf("restore aggregate state: %w", err)
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
	if fresh.council != nil {
		fresh.rank()
	}
	*m = fresh
	return nil
}

// signing says which statement is under signature in a phase.
var signing = map[Phase]protocol.Kind{PhaseChanging: protocol.KindCouncil, PhaseOpening: protocol.KindOpen, PhaseFreezing: protocol.KindFreeze,
	PhaseRevealing: protocol.KindRevealSet, PhaseMerge: protocol.KindCertificate, PhaseEnding: protocol.KindEnd}

// coherent checks that the phase has what its transitions take for granted.
func (s *state) coherent() error {
	if s.Phase > PhaseFinished || (s.Phase == PhaseChanging) != (s.Turn != nil) || (s.Phase == PhaseNew) != (s.Genesis == nil) {
		return fmt.Errorf("phase %s without what belongs to it", s.Phase)
	}
	for i := range s.Ballots {
		st := &s.Ballots[i].Statement
		if st.Kind != signing[s.Phase] {
			return fmt.Errorf("%s under signature in phase %s", st.Kind, s.Phase)
		}
		if st.Kind == protocol.KindCouncil {
			if _, err := protocol.DecodeBody[protocol.NewCouncil](st); err != nil {
				return err
			}
		}
	}
	return nil
}
