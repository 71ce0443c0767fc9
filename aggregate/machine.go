package aggregate

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"drystone/protocol"
)

// Config is what a Machine needs to know of its run. The functions must be deterministic, pure, and safe for
// concurrent use.
type Config struct {
	Spec   *protocol.RunSpec
	Run    protocol.Digest // the RunID, Spec.ID()
	Params int             // N, parameters of the model
	// Ownership lets the shards of a round have owners where RunSpec.Owners says so; without it every aggregator gathers
	// and merges everything. All aggregators of a run must agree on it.
	Ownership bool
	// VerifyDraw checks the BLS signature of a draw against an aggregator's key.
	VerifyDraw func(pub [96]byte, msg []byte, sig [48]byte) error
	// VerifySettlement checks the payout root, and the EIP-712 signature that signer's account made.
	VerifySettlement func(s protocol.Settlement, payouts []protocol.Payout, signer protocol.PeerID, sig protocol.EVMSignature) error
	// VerifyRotation, if not nil, checks the EIP-712 signature that signer's account made under a rotation.
	VerifyRotation func(r protocol.Rotation, signer protocol.PeerID, sig protocol.EVMSignature) error
	// VerifyPossession, if not nil, checks a newcomer's proof of possession of its BLS key.
	VerifyPossession func(pub [96]byte, proof [48]byte) error
	// VerifyNote, if not nil, checks the signature on a checkpoint's note. Size and root are compared in any case.
	VerifyNote func(signer protocol.PeerID, note []byte) error
}

// Machine is the state of one run. It does no I/O, reads no clock and starts no goroutine. Apply and Restore need it for
// themselves; what only reads it, as Duties and View do, may run in any number of goroutines at a time.
type Machine struct {
	cfg     Config
	s       state
	council *protocol.Council // that signs now: of the Genesis, or of s.Council; nil before Genesis
	genesis *protocol.Genesis
	fx      Effects   // of the record being applied
	orders  [][]uint8 // OwnerOrder of each shard under council, as places in it; nil where shards have no owners
}

// New returns the machine before its first record, which must be the Genesis. It fails for an invalid spec, a Run that
// is not the spec's ID, and missing functions.
func New(cfg Config) (*Machine, error) {
	if cfg.Spec == nil || cfg.VerifyDraw == nil || cfg.VerifySettlement == nil || cfg.Params < 1 {
		return nil, errors.New("aggregate: Config needs Spec, Params, VerifyDraw and VerifySettlement")
	}
	if err := cfg.Spec.Validate(); err != nil {
		return nil, fmt.Errorf("aggregate: %w", err)
	}
	id, err := cfg.Spec.ID()
	if err != nil {
		return nil, fmt.Errorf("aggregate: %w", err)
	}
	if id != cfg.Run {
		return nil, fmt.Errorf("aggregate: run %s is not the spec's, %s", cfg.Run.Short(), id.Short())
	}
	spec := *cfg.Spec
	cfg.Spec = &spec
	return &Machine{cfg: cfg, s: state{Version: stateVersion}}, nil
}

// Apply applies one record. It is deterministic: replicas that applied the same records are equal. A record that is not
// accepted changes nothing and returns a *Refusal, which is the same on every replica.
func (m *Machine) Apply(record []byte) (Effects, error) {
	kind, msg, err := DecodeRecord(record)
	if err != nil {
		return Effects{}, refuse(ErrInvalid, "%v", err)
	}
	if (kind == RecordGenesis) != (m.council == nil) {
		if m.council == nil {
			return Effects{}, refuse(ErrEarly, "%s before Genesis", kind)
		}
		return Effects{}, m.refuseGenesis(msg.(*protocol.SignedStatement))
	}
	m.fx = Effects{FirstLeaf: m.s.Log.Size}
	if err := m.dispatch(kind, msg); err != nil {
		return Effects{}, err
	}
	m.advance()
	fx := m.fx
	m.fx = Effects{}
	return fx, nil
}

func (m *Machine) dispatch(kind RecordType, msg any) error {
	switch v := msg.(type) {
	case *Tick:
		return m.tick(v)
	case *protocol.Signed[protocol.Join]:
		return m.join(v)
	case *protocol.Signed[protocol.Leave]:
		return m.leave(v)
	case *protocol.Signed[protocol.Commit]:
		return m.commit(v)
	case *Cosign:
		return m.cosign(v)
	case *protocol.Signed[protocol.Attest]:
		return m.attest(v)
	case *protocol.Signed[protocol.Draw]:
		return m.draw(v)
	case *protocol.Signed[protocol.Verdict]:
		return m.verdict(v)
	case *Settle:
		return m.settle(v)
	case *protocol.Signed[protocol.Control]:
		return m.control(v)
	case *Rotate:
		return m.rotate(v)
	case *Partial:
		return m.partial(v)
	case *protocol.Signed[protocol.ShardCertificate]:
		return m.shardCertificate(v)
	case *Checkpoint:
		return m.checkpoint(v)
	case *protocol.SignedStatement:
		if kind == RecordGenesis {
			return m.start(v)
		}
	}
	return refuse(ErrInvalid, "%s is a leaf, not a record", kind)
}

// start takes the Genesis.
func (m *Machine) start(s *protocol.SignedStatement) error {
	g, council, err := protocol.OpenGenesis(m.cfg.Spec, m.cfg.Run, s)
	if err != nil {
		return refuse(ErrInvalid, "%v", err)
	}
	if g.Params != uint64(m.cfg.Params) {
		return refuse(ErrInvalid, "Genesis of a model of %d parameters, want %d", g.Params, m.cfg.Params)
	}
	m.council, m.genesis = council, g
	m.rank()
	m.s.Genesis, m.s.Model, m.s.Outer = s, g.Model, g.Outer
	for _, a := range g.Aggregators {
		m.s.Aggregators = append(m.s.Aggregators, aggregatorState{ID: a.ID})
	}
	m.finalize(*s)
	m.enter(PhaseWaiting)
	return nil
}

func (m *Machine) refuseGenesis(s *protocol.SignedStatement) error {
	if s.Statement.Digest() == m.s.Genesis.Statement.Digest() {
		return refuse(ErrDuplicate, "Genesis")
	}
	return refuse(ErrDiffers, "a second Genesis")
}

// finalize publishes a statement that has its quorum.
func (m *Machine) finalize(s protocol.SignedStatement) {
	m.s.Head = &s
	m.s.Ballots = nil
	m.fx.Final = append(m.fx.Final, protocol.SignedStatement{Statement: s.Statement, Sigs: slices.Clone(s.Sigs)})
	m.appendLeaf(LeafStatement, &s)
}

func (m *Machine) evidence(e Evidence) {
	m.fx.Evidence = append(m.fx.Evidence, e)
	if len(m.s.Evidence) == maxEvidence {
		m.s.Evidence = slices.Delete(m.s.Evidence, 0, 1)
	}
	m.s.Evidence = append(m.s.Evidence, e)
}

// maxEvidence is how much evidence the state remembers; Effects have told all of it.
const maxEvidence = 256

// Council returns the aggregator set that signs now, once the Genesis is in, else nil. It must not be changed.
func (m *Machine) Council() *protocol.Council { return m.council }

// Genesis returns the Genesis once it is in, else nil. It must not be changed.
func (m *Machine) Genesis() *protocol.Genesis { return m.genesis }

// member returns nil if id is an aggregator.
func (m *Machine) member(id protocol.PeerID) error {
	if _, ok := m.council.Member(id); ok {
		return nil
	}
	if m.s.Council != nil {
		return refuse(ErrLate, "%s is no aggregator now; the council changed", id.Short())
	}
	return refuse(ErrInvalid, "%s is no aggregator", id.Short())
}

func (m *Machine) ofRun(run protocol.Digest) error {
	if run != m.cfg.Run {
		return refuse(ErrInvalid, "message of run %s, this is run %s", run.Short(), m.cfg.Run.Short())
	}
	return nil
}

func (m *Machine) threshold() int { return m.council.Threshold }

// tick advances the logged time, starts timers that wait for a clock reading, and ends what is overdue.
func (m *Machine) tick(t *Tick) error {
	switch {
	case t.UnixMilli <= 0 || t.UnixMilli > maxMilli:
		return refuse(ErrInvalid, "tick at %d ms", t.UnixMilli)
	case t.UnixMilli == m.s.Now:
		return refuse(ErrDuplicate, "tick at %d ms", t.UnixMilli)
	case t.UnixMilli < m.s.Now:
		return refuse(ErrLate, "tick at %d ms, logged time is %d ms", t.UnixMilli, m.s.Now)
	case t.UnixMilli > m.LastTick():
		return refuse(ErrEarly, "tick at %d ms, logged time is %d ms and may be %d next", t.UnixMilli, m.s.Now, m.LastTick())
	}
	m.s.Now = t.UnixMilli
	if m.s.Since == 0 {
		m.s.Since = m.s.Now
	}
	if d := m.phaseDeadline(); d != 0 && d <= m.s.Now {
		m.phaseOver()
	}
	for i := range m.s.Rounds {
		m.tickChecks(&m.s.Rounds[i])
	}
	return nil
}

// LoggedMilli returns the logged time in milliseconds since 1970, 0 before the first Tick.
func (m *Machine) LoggedMilli() int64 { return m.s.Now }

// LastTick returns the latest time that the next Tick may have, in milliseconds since 1970: twice the longest deadline from
// the one before. More ends nothing that this does not, and a leader that lies could move the time where none can follow.
func (m *Machine) LastTick() int64 {
	if m.s.Now == 0 {
		return maxMilli
	}
	d := m.cfg.Spec.Deadlines
	return min(maxMilli, m.s.Now+2*max(d.TrainFor(), d.RevealFor(), d.CheckFor()).Milliseconds())
}

// maxMilli keeps deadlines far from overflow: the year 9999.
const maxMilli = 253402300799999

// phaseDeadline returns the logged time at which the phase is over, or 0 if it has no end in time or has not yet seen a
// Tick.
func (m *Machine) phaseDeadline() int64 {
	if m.s.Since == 0 {
		return 0
	}
	switch m.s.Phase {
	case PhaseTrain:
		return m.s.Since + m.cfg.Spec.Deadlines.TrainFor().Milliseconds()
	case PhaseReveal:
		if wait := m.cfg.Spec.Deadlines.RevealFor().Milliseconds(); m.s.Extended || !m.owned(m.round(m.s.Round)) {
			return m.s.Since + wait
		} else {
			return m.s.Since + wait/2 // owners that are late are passed over
		}
	case PhaseMerge:
		if m.inParts() {
			return m.s.Since + m.cfg.Spec.Deadlines.RevealFor().Milliseconds()
		}
	}
	return 0
}

// Deadline returns the earliest time at which a Tick would change something. It is the current logged time, which has
// passed, when a timer waits for a first clock reading.
func (m *Machine) Deadline() (time.Time, bool) {
	var first int64
	at := func(since, deadline int64) {
		if since == 0 {
			deadline = m.s.Now
		}
		if first == 0 || deadline < first {
			first = max(deadline, 1)
		}
	}
	if m.s.Phase == PhaseTrain || m.s.Phase == PhaseReveal || m.s.Phase == PhaseMerge && m.inParts() {
		at(m.s.Since, m.phaseDeadline())
	}
	checkFor := m.cfg.Spec.Deadlines.CheckFor().Milliseconds()
	for i := range m.s.Rounds {
		for j := range m.s.Rounds[i].Entries {
			for _, s := range m.s.Rounds[i].Entries[j].Check.Slots {
				if s.open() {
					at(s.Since, s.Since+checkFor)
				}
			}
		}
	}
	return time.UnixMilli(first), first != 0
}
