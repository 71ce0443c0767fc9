package verify

import (
	"context"
	"errors"
	"fmt"

	"drystone/protocol"
)

// Errors with which the sources of an audit say that they cannot help, or that the proof is wrong.
var (
	ErrMissing = errors.New("not available here")                       // what depends on it is reported as not checked
	ErrPayout  = errors.New("the payout is not what the proof says")    // a PayoutSource contradicts the proof
	errBlob    = errors.New("the copy at hand is damaged: fetch again") // accuses nobody
)

// BlobSource finds bulk data by digest.
type BlobSource interface {
	// Blob returns the data of at most limit bytes whose protocol.MerkleRoot is d; the audit checks that. It returns
	// ErrMissing, wrapped, for data that it does not have.
	Blob(ctx context.Context, d protocol.Digest, limit int64) ([]byte, error)
}

// Contribution is one input of a merge: payloads by shard.
type Contribution struct {
	Peer     protocol.PeerID
	Round    uint32
	Steps    uint32
	Shards   []uint32 // that it was assigned, empty for all
	Payloads [][]byte // one for each
}

// Merger computes a round's merge again: contributions ascending by peer go into theta (N values) and the outer state
// (RunSpec.OuterState values).
type Merger func(spec *protocol.RunSpec, theta, outer []float32, contributions []Contribution) (*MergeResult, error)

// MergeResult is what a Certificate says of a merge.
type MergeResult struct {
	Theta, Outer []float32
	Record       []protocol.Merged
	Updates      []protocol.ShardUpdate // on the way down; empty in runs without
}

// PayoutSource compares a proof's settlement with the ledger.
type PayoutSource interface {
	// CheckPayout checks the signatures, the path of the payout and what the chain says, and returns one line for each
	// thing that it checked. Errors: ErrPayout for a contradiction, ErrMissing if the chain cannot be reached, both wrapped.
	CheckPayout(ctx context.Context, g *protocol.Genesis, s *SettlementRecord) (checked []string, err error)
}

// Options is what an auditor brings along. Everything is optional; what is missing limits how deep the audit goes, and
// the report says so.
type Options struct {
	Run      *protocol.Digest // the run that the proof must belong to
	Blobs    BlobSource       // for L2 and L3
	Replayer func(ctx context.Context, s *protocol.RunSpec, blobs BlobSource) (Replayer, error)
	Merger   Merger
	Payout   PayoutSource
}

// audit is one audit under way. The fields below r are filled in by the levels as they pass.
type audit struct {
	p *Proof
	o Options
	r *Report

	run        protocol.Digest
	spec       *protocol.RunSpec
	genesis    *protocol.Genesis
	council    *protocol.Council // of the round
	before     *protocol.Council // of the round before
	cosigners  *protocol.Council // of the checkpoint
	params     int
	open       *protocol.Open
	freeze     *protocol.Freeze
	revealSet  *protocol.RevealSet
	cert       *protocol.Certificate
	entry      protocol.Revealed // of the contribution in revealSet
	place      int               // of the contribution in revealSet
	index      uint32            // of the peer in the roster
	shards     []uint32          // that it was assigned, empty for all
	logRoot    protocol.Digest
	logSize    uint64
	challenges []Challenge // one for each of p.Checks
	standings  []string    // likewise
	states     map[uint32]protocol.TraceState
}

// Audit checks a proof as deep as the options allow. The report is never nil. The error is a *Failure if the proof is
// wrong; anything else means that the audit could not be carried out (the context ended, a local copy is damaged).
func Audit(ctx context.Context, f *File, o Options) (*Report, error) {
	a := &audit{p: &f.Proof, o: o, r: newReport(), states: map[uint32]protocol.TraceState{}}
	err := a.all(ctx, f.whole)
	var failure *Failure
	if errors.As(err, &failure) {
		a.r.Levels[failure.Level].Status = StatusFailed
		a.r.Failure = failure.Error()
		err = failure
	}
	a.r.settle()
	return a.r, err
}

func (a *audit) all(ctx context.Context, whole bool) error {
	if err := a.parts(L0, a.signatureParts()); err != nil {
		return err
	}
	if err := a.parts(L1, a.challengeParts()); err != nil {
		return err
	}
	if !whole {
		return &Failure{L0, "trailer", errors.New("the file's last 32 bytes are not the SHA-256 of the rest: a byte changed that no signature covers")}
	}
	for _, level := range []func(context.Context) error{a.replays, a.merge, a.payout} {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		if err := level(ctx); err != nil {
			return err
		}
	}
	a.r.skip(L0, "that the log holds no other draw, verdict or later Join about this contribution: that takes the log itself")
	a.r.skip(L3, "the rounds before this one: their result is taken from statements that %d of %d aggregators signed", a.council.Threshold, len(a.council.Members))
	return nil
}

// part is one thing that a level checks; a failure is reported under its name.
type part struct {
	name  string
	check func() error
}

func (a *audit) parts(l Level, list []part) error {
	for _, p := range list {
		if err := p.check(); err != nil {
			return &Failure{l, p.name, err}
		}
	}
	a.r.Levels[l].Status = StatusPassed
	return nil
}

// blob fetches data and checks its root.
func (a *audit) blob(ctx context.Context, what string, d protocol.Digest, limit int64) ([]byte, error) {
	if a.o.Blobs == nil {
		return nil, fmt.Errorf("%s: %w", what, ErrMissing)
	}
	if d == protocol.MerkleRoot(nil) {
		return nil, nil
	}
	data, err := a.o.Blobs.Blob(ctx, d, limit)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", what, d.Short(), err)
	}
	if protocol.MerkleRoot(data) != d {
		return nil, fmt.Errorf("%s %s: %w", what, d.Short(), errBlob)
	}
	return data, nil
}
