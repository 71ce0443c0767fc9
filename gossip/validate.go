package gossip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"drystone/protocol"
)

// RoundView is what validators need to know of the run's state. Its methods are called from many goroutines at once and
// must not block. After any answer changes, the owner calls Host.Recheck, so that held messages are judged again.
type RoundView interface {
	// Council returns the aggregators that sign at the end of the verified chain; false before the Genesis is known.
	Council() (*protocol.Council, bool)
	// Round returns the newest open round and the digest of its Open; false before the first.
	Round() (round uint32, open protocol.Digest, ok bool)
	// Rostered reports whether p is in the roster of the newest open round.
	Rostered(p protocol.PeerID) bool
	// Shards returns the shards that p is assigned in an opened round whose roster has it; empty for all.
	Shards(round uint32, p protocol.PeerID) []uint32
	// Commit returns the first verified commit of p in the newest open round or, once that round is frozen, the commit
	// that the Freeze names, if it is known.
	Commit(p protocol.PeerID) (*protocol.Commit, bool)
	// Frozen returns the verified Freeze of the newest open round; false before it.
	Frozen() (*protocol.Freeze, bool)
	// Known reports whether the same statement is already held with other signatures. Byte for byte the same one may pass
	// on: every aggregator publishes it at once, and whoever ignored it would keep it from those behind.
	Known(s *protocol.SignedStatement) bool
}

// maxCommit is more than any encoded Signed[Commit] takes.
const maxCommit = 512

// Validator judges the messages of a run's topics. For each it looks at the cheapest things first: size, encoding, run
// and shape, round, membership, and only then signatures and hashes. What every honest peer would find wrong is
// Reject; what depends on how much the reader has seen is Later if it may soon be judged, and else Ignore. It is safe for
// concurrent use.
type Validator struct {
	spec   *protocol.RunSpec
	run    protocol.Digest
	params int
	view   RoundView
}

// NewValidator makes the validator of a run whose model has params parameters.
func NewValidator(spec *protocol.RunSpec, params int, view RoundView) (*Validator, error) {
	run, err := spec.ID()
	if err != nil {
		return nil, fmt.Errorf("gossip: validator: %w", err)
	}
	if params < 1 || spec.Codec.ShardParams < 1 || spec.Train.Segment < 1 {
		return nil, fmt.Errorf("gossip: validator: %d parameters, %d per shard, %d steps per segment: want at least 1",
			params, spec.Codec.ShardParams, spec.Train.Segment)
	}
	return &Validator{spec: spec, run: run, params: params, view: view}, nil
}

// Shards returns how many shard topics the run has.
func (v *Validator) Shards() int { return v.spec.Codec.Shards(v.params) }

// Commit judges a message of TopicCommit, a protocol.Signed[protocol.Commit], which its author publishes. One commit per
// peer and round passes.
func (v *Validator) Commit(_ context.Context, from protocol.PeerID, data []byte) Verdict {
	if len(data) > maxCommit {
		return Reject
	}
	s, err := protocol.DecodeSigned[protocol.Commit](data)
	if err != nil {
		return Reject
	}
	c := &s.Body
	if c.Run != v.run || c.Peer != from || c.Steps < 1 || c.Steps > v.spec.Train.Steps {
		return Reject // another's words, said again, are for nobody to forward
	}
	round, open, ok := v.view.Round()
	if verdict, judge := v.timing(c.Round, round, ok); !judge {
		return verdict
	}
	if c.Open != open {
		return Ignore // the author or we follow a wrong Open: not for the forwarder to answer for
	}
	if !v.view.Rostered(c.Peer) {
		return Reject // the Open that it names lists the roster
	}
	if _, frozen := v.view.Frozen(); frozen {
		return Ignore
	}
	if _, known := v.view.Commit(c.Peer); known {
		return Ignore
	}
	if s.Verify() != nil {
		return Reject
	}
	return Accept
}

// timing says what follows from a message's round alone; judge is true for the current one.
func (v *Validator) timing(round, current uint32, opened bool) (verdict Verdict, judge bool) {
	switch {
	case round >= v.spec.Train.Rounds:
		return Reject, false
	case !opened && round == 0, opened && round == current+1:
		return Later, false
	case opened && v.over(round, current):
		return Stale, false
	case !opened, round != current:
		return Ignore, false
	}
	return Accept, true
}

// over reports whether a round is so long over that nobody who keeps up sends anything to it.
func (v *Validator) over(round, current uint32) bool { return round+1 < current } // both below 2^24

// Shard judges messages of ShardTopic(n), each a protocol.Reveal that its author publishes, against the commit and the Freeze.
func (v *Validator) Shard(n int) ValidateFunc {
	return func(_ context.Context, from protocol.PeerID, data []byte) Verdict { return v.reveal(n, from, data) }
}

func (v *Validator) reveal(shard int, from protocol.PeerID, data []byte) Verdict {
	r, err := protocol.DecodeReveal(data)
	if err != nil || r.Run != v.run || r.Peer != from || int64(r.Shard) != int64(shard) {
		return Reject
	}
	round, _, ok := v.view.Round()
	if verdict, judge := v.timing(r.Round, round, ok); !judge {
		return verdict
	}
	if !v.view.Rostered(r.Peer) {
		return Reject
	}
	shards := v.view.Shards(r.Round, r.Peer)
	if _, own := protocol.PlaceOf(shards, shard); !own {
		return Reject // the Open says which shards it owes
	}
	freeze, ok := v.view.Frozen()
	if !ok {
		return Later
	}
	commit, ok := v.view.Commit(r.Peer)
	if !ok || commit.Round != r.Round {
		return Later
	}
	frozen, ok := frozenCommit(freeze, r.Peer)
	if !ok {
		return Ignore // its commit came too late
	}
	if (protocol.Signed[protocol.Commit]{Body: *commit}).Digest() != frozen {
		return Later // we hold another commit of this peer than the one frozen
	}
	if r.Check(v.spec, v.params, shards, commit, freeze.Root) != nil {
		return Reject
	}
	return Accept
}

func frozenCommit(f *protocol.Freeze, p protocol.PeerID) (protocol.Digest, bool) {
	i, ok := slices.BinarySearchFunc(f.Commits, p, func(c protocol.Frozen, p protocol.PeerID) int {
		return bytes.Compare(c.Peer[:], p[:])
	})
	if !ok {
		return protocol.Digest{}, false
	}
	return f.Commits[i].Commit, true
}

// Control judges messages of TopicControl: signed statements of every kind but Certificates.
func (v *Validator) Control(_ context.Context, _ protocol.PeerID, data []byte) Verdict {
	return v.statement(data, func(k protocol.Kind) bool {
		return k >= protocol.KindGenesis && k <= protocol.KindEnd && k != protocol.KindCertificate
	})
}

// Cert judges messages of TopicCert: signed Certificates.
func (v *Validator) Cert(_ context.Context, _ protocol.PeerID, data []byte) Verdict {
	return v.statement(data, func(k protocol.Kind) bool { return k == protocol.KindCertificate })
}

// statement accepts what the quorum signed, of this round or a later one: it proves itself, and tells a reader who has
// fallen behind that there is more to fetch. Whether it continues the chain is the reader's to check.
func (v *Validator) statement(data []byte, allowed func(protocol.Kind) bool) Verdict {
	s, err := protocol.DecodeStatement(data)
	if err != nil || s.Statement.Run != v.run || !allowed(s.Statement.Kind) || !decodes(&s.Statement) {
		return Reject
	}
	st := &s.Statement
	if st.Round >= v.spec.Train.Rounds {
		return Reject
	}
	round, _, ok := v.view.Round()
	switch {
	case ok && v.over(st.Round, round):
		return Stale
	case ok && st.Round < round, v.view.Known(s):
		return Ignore // the same statement with other signatures would otherwise travel once per subset
	}
	if st.Kind == protocol.KindGenesis {
		if _, _, err := protocol.OpenGenesis(v.spec, v.run, s); err != nil {
			return Reject
		}
		return Accept
	}
	council, ok := v.view.Council()
	if !ok {
		return Later
	}
	if err := council.Verify(s); err != nil {
		return v.unsigned(st, err)
	}
	return Accept
}

// unsigned judges a statement that the council known here did not sign. A signature that is false is so for everybody; but
// ahead of the newest open round the council may have changed, and who knows of that may find the quorum in it.
func (v *Validator) unsigned(st *protocol.Statement, err error) Verdict {
	round, _, ok := v.view.Round()
	switch {
	case errors.Is(err, protocol.ErrBadSignature) || ok && st.Round <= round:
		return Reject
	case ok && st.Round == round+1 || !ok && st.Round == 0:
		return Later
	}
	return Ignore
}

// decodes reports whether the statement's body is one of its kind.
func decodes(st *protocol.Statement) bool {
	var err error
	switch st.Kind {
	case protocol.KindGenesis:
		_, err = protocol.DecodeBody[protocol.Genesis](st)
	case protocol.KindOpen:
		_, err = protocol.DecodeBody[protocol.Open](st)
	case protocol.KindFreeze:
		_, err = protocol.DecodeBody[protocol.Freeze](st)
	case protocol.KindRevealSet:
		_, err = protocol.DecodeBody[protocol.RevealSet](st)
	case protocol.KindCertificate:
		_, err = protocol.DecodeBody[protocol.Certificate](st)
	case protocol.KindCouncil:
		_, err = protocol.DecodeBody[protocol.NewCouncil](st)
	case protocol.KindEnd:
		_, err = protocol.DecodeBody[protocol.End](st)
	default:
		return false
	}
	return err == nil
}
