package aggregate

import (
	"errors"
	"time"

	"drystone/protocol"
)

// Config is what a Machine needs to know of its run. The functions must be deterministic, pure, and safe for
// concurrent use.
type Config struct {
	Spec   *protocol.RunSpec
	Run    protocol.Digest
	Params int // N, parameters of the model
	// VerifyDraw checks the BLS signature of a draw against an aggregator's key.
	VerifyDraw func(pub [96]byte, msg []byte, sig [48]byte) error
	// VerifySettlement checks the payout root, and the EIP-712 signature that signer's account made.
	VerifySettlement func(s protocol.Settlement, payouts []protocol.Payout, signer protocol.PeerID, sig protocol.EVMSignature) error
	// VerifyNote, if not nil, checks the signature on a checkpoint's note. Size and root are compared in any case.
	VerifyNote func(signer protocol.PeerID, note []byte) error
}

// Machine is the state of one run. It does no I/O, reads no clock and starts no goroutine. It is not safe for
// concurrent use.
type Machine struct {
	cfg Config
}

// New returns the machine before its first record, which must be the Genesis.
func New(cfg Config) (*Machine, error) { return &Machine{cfg: cfg}, nil }

var errTODO = errors.New("not yet")

// Apply applies one record.
func (m *Machine) Apply(record []byte) (Effects, error) { return Effects{}, errTODO }

// Duties returns what an aggregator should do now.
func (m *Machine) Duties(self protocol.PeerID) []Duty { return nil }

// Deadline returns when a Tick would change something.
func (m *Machine) Deadline() (time.Time, bool) { return time.Time{}, false }

// View returns a copy of the state.
func (m *Machine) View() View { return View{} }

// Council returns the aggregator set once the Genesis is in, else nil.
func (m *Machine) Council() *protocol.Council { return nil }

// Genesis returns the Genesis once it is in, else nil.
func (m *Machine) Genesis() *protocol.Genesis { return nil }

// Snapshot returns the whole state in canonical CBOR.
func (m *Machine) Snapshot() ([]byte, error) { return nil, errTODO }

// Restore replaces the state by a snapshot's.
func (m *Machine) Restore(snapshot []byte) error { return errTODO }

// MaySign is the signer's own guard.
func (m *Machine) MaySign(s *protocol.Statement, now, opened time.Time, receipts []protocol.Digest) error {
	return errTODO
}
