package aggregate

import (
	"slices"

	"drystone/protocol"
)

// A merge in parts goes shard by shard through the log. Its owners log the sums of a shard (Partial) until t are equal; from
// the sums of all shards the machine derives the merge record; with its weights the owners merge their shards and log the
// roots (ShardCertificate) until t are equal; from the roots of all shards the machine derives the Certificate, which
// everyone signs.
//
// Sums are taken for the next few shards only (ahead), so that what lies in the state until it is folded has a bound.

// maxAhead is how many shards beyond the folded ones may have sums in the log, and maxSums how many bytes all these sums may
// take in the state, if that is enough for one shard: a quarter of MaxSnapshot.
const (
	maxAhead = 64
	maxSums  = MaxSnapshot / 4
)

// parts is the state of such a merge.
type parts struct {
	_      struct{} `cbor:",toarray"`
	Fold   fold     // of the shards before Fold.Next
	Shards []part
	Record []protocol.Merged // empty until the sums of every shard are in
}

type part struct {
	_       struct{}    `cbor:",toarray"`
	Ballots []sumBallot // distinct sums, until t are equal
	Agreed  bool        // t were equal
	Sums    []byte      // those, until they are folded
	Votes   []shardVote // ascending by aggregator
	Final   *shardResult
}

type sumBallot struct {
	_       struct{} `cbor:",toarray"`
	Root    protocol.Digest
	Sums    []byte
	Signers []sumSigner // ascending
}

type sumSigner struct {
	_   struct{} `cbor:",toarray"`
	ID  protocol.PeerID
	Sig protocol.Signature // of its message
}

// shardResult is what a ShardCertificate says of a shard. Update is left out of the encoding where it is zero.
type shardResult struct {
	_      struct{} `cbor:",toarray"`
	Model  protocol.Digest
	Outer  protocol.Digest
	Finite bool
	Update protocol.ShardUpdate
}

type shardVote struct {
	_          struct{} `cbor:",toarray"`
	Aggregator protocol.PeerID
	Result     shardResult
	Sig        protocol.Signature // of its message
}

func sumKey(s *sumSigner) protocol.PeerID  { return s.ID }
func voteKey(v *shardVote) protocol.PeerID { return v.Aggregator }

// inParts reports whether a merge in parts is under way whose Certificate does not follow yet.
func (m *Machine) inParts() bool {
	r := m.round(m.s.Round)
	return r != nil && r.Parts != nil && len(m.s.Ballots) == 0
}

func (m *Machine) startParts(r *round) {
	r.Parts = &parts{Fold: *newFold(m.cfg.Spec, m.revealed(r)), Shards: make([]part, m.shards()), Record: []protocol.Merged{}}
}

// revealed returns the round's contributions without their payloads.
func (m *Machine) revealed(r *round) []Contribution {
	var in []Contribution
	spans := m.spans(r)
	for i := range r.Entries {
		if e := &r.Entries[i]; e.Reveal != nil {
			in = append(in, Contribution{Peer: e.Peer, Steps: e.Commit.Body.Steps, Shards: spans[i].List()})
		}
	}
	return in
}

// members returns the places, among the contributions, of those that trained a shard.
func members(in []Contribution, shard int) []int {
	var at []int
	for i, c := range in {
		if _, own := protocol.PlaceOf(c.Shards, shard); own {
			at = append(at, i)
		}
	}
	return at
}

// partOf finds the shard that a message of the merge under way speaks of.
func (m *Machine) partOf(what string, run, set protocol.Digest, shard uint32, by protocol.PeerID) (*round, *part, error) {
	if err := m.ofRun(run); err != nil {
		return nil, nil, err
	}
	if err := m.member(by); err != nil {
		return nil, nil, err
	}
	for i := range m.s.Rounds {
		r := &m.s.Rounds[i]
		if s := r.statement(protocol.KindRevealSet); s == nil || s.Statement.Digest() != set {
			continue
		}
		switch {
		case r.Number < m.s.Round || len(m.s.Ballots) > 0:
			return nil, nil, refuse(ErrLate, "%s of %s in round %d, whose merge is over", what, by.Short(), r.Number)
		case r.Parts == nil || int64(shard) >= int64(len(r.Parts.Shards)):
			return nil, nil, refuse(ErrInvalid, "%s of %s for shard %d in round %d, which has no owners", what, by.Short(), shard, r.Number)
		}
		return r, &r.Parts.Shards[shard], nil
	}
	return nil, nil, refuse(ErrDiffers, "%s of %s for RevealSet %s, which is not the log's", what, by.Short(), set.Short())
}

// partial takes an owner's sums of a shard.
func (m *Machine) partial(p *Partial) error {
	b := &p.Message.Body
	r, part, err := m.partOf("partial", b.Run, b.RevealSet, b.Shard, b.Aggregator)
	if err != nil {
		return err
	}
	switch {
	case part.Agreed:
		return refuse(ErrLate, "partial of %s for shard %d of round %d, which is agreed on", b.Aggregator.Short(), b.Shard, r.Number)
	case int(b.Shard) >= m.ahead(r):
		return refuse(ErrEarly, "partial of %s for shard %d of round %d, shards up to %d come first", b.Aggregator.Short(), b.Shard, r.Number, m.ahead(r)-1)
	}
	for _, ballot := range part.Ballots {
		if i, ok := search(ballot.Signers, b.Aggregator, sumKey); ok {
			first := *b
			first.Sums = ballot.Root
			both := protocol.Doubled[protocol.Partial]{First: protocol.Signed[protocol.Partial]{Body: first, Sig: ballot.Signers[i].Sig}, Second: p.Message}
			return m.again(r, b.Aggregator, both.First.Digest(), p.Message.Digest(), p.Message.Verify, LeafTwoSums, &both)
		}
	}
	at := slices.IndexFunc(part.Ballots, func(x sumBallot) bool { return x.Root == b.Sums })
	want := m.sumsSize(r, int(b.Shard))
	switch {
	case at < 0 && len(p.Sums) == 0 && want > 0:
		return refuse(ErrEarly, "partial of %s for shard %d of round %d: its sums %s are not here", b.Aggregator.Short(), b.Shard, r.Number, b.Sums.Short())
	case len(p.Sums) > 0 && len(p.Sums) != want, (at < 0 || len(p.Sums) > 0) && protocol.MerkleRoot(p.Sums) != b.Sums:
		return refuse(ErrInvalid, "partial of %s for shard %d of round %d: %d bytes of sums, want %d of root %s", b.Aggregator.Short(), b.Shard, r.Number,
			len(p.Sums), want, b.Sums.Short())
	}
	if err := p.Message.Verify(); err != nil {
		return refuse(ErrInvalid, "%v", err)
	}
	if at < 0 {
		at = len(part.Ballots)
		part.Ballots = append(part.Ballots, sumBallot{Root: b.Sums, Sums: p.Sums})
	}
	ballot := &part.Ballots[at]
	i, _ := search(ballot.Signers, b.Aggregator, sumKey)
	ballot.Signers = slices.Insert(ballot.Signers, i, sumSigner{ID: b.Aggregator, Sig: p.Message.Sig})
	m.setAway(b.Aggregator, false)
	if len(ballot.Signers) >= m.threshold() {
		*part = partAgreed(ballot.Sums)
		m.fold(r)
	}
	return nil
}

// sumsSize is how many bytes the sums of a shard have.
func (m *Machine) sumsSize(r *round, shard int) int {
	return r.Parts.Fold.size(len(members(m.revealed(r), shard)))
}

// ahead returns the first shard whose sums have to wait. Every aggregator may log other sums for a shard, and none has more
// than those of a shard that everyone trained.
func (m *Machine) ahead(r *round) int {
	all := 0
	for i := range r.Entries {
		if r.Entries[i].Reveal != nil {
			all++
		}
	}
	return min(int(r.Parts.Fold.Next)+aheadOf(len(m.council.Members), r.Parts.Fold.size(all)), len(r.Parts.Shards))
}

// aheadOf is how many shards may have sums of so many bytes, one for each aggregator.
func aheadOf(aggregators, size int) int {
	return max(1, min(maxAhead, maxSums/max(1, aggregators*size)))
}

func partAgreed(sums []byte) part { return part{Agreed: true, Sums: sums} }

// fold takes in agreed sums in the order of the shards, and derives the merge record after the last.
func (m *Machine) fold(r *round) {
	in, p := m.revealed(r), r.Parts
	for int(p.Fold.Next) < len(p.Shards) && p.Shards[p.Fold.Next].Agreed {
		next := &p.Shards[p.Fold.Next]
		p.Fold.add(next.Sums, members(in, int(p.Fold.Next)))
		next.Sums = nil
	}
	if int(p.Fold.Next) == len(p.Shards) {
		p.Record = p.Fold.record(m.cfg.Spec, m.cfg.Params, in)
		p.Fold.Squares, p.Fold.Gram = nil, nil
	}
	m.s.Since = 0 // the timer for late owners starts anew with every step that is done
}

// shardCertificate takes an owner's result for a shard.
func (m *Machine) shardCertificate(s *protocol.Signed[protocol.ShardCertificate]) error {
	b := &s.Body
	r, part, err := m.partOf("shard certificate", b.Run, b.RevealSet, b.Shard, b.Aggregator)
	if err != nil {
		return err
	}
	i, voted := search(part.Votes, b.Aggregator, voteKey)
	switch {
	case voted:
		first := part.Votes[i].message(b, r.Parts)
		both := protocol.Doubled[protocol.ShardCertificate]{First: first, Second: *s}
		return m.again(r, b.Aggregator, first.Digest(), s.Digest(), s.Verify, LeafTwoShards, &both)
	case part.Final != nil:
		return refuse(ErrLate, "shard certificate of %s for shard %d of round %d, which is agreed on", b.Aggregator.Short(), b.Shard, r.Number)
	case len(r.Parts.Record) == 0:
		return refuse(ErrEarly, "shard certificate of %s for shard %d of round %d before the weights", b.Aggregator.Short(), b.Shard, r.Number)
	case b.Merge != protocol.MergeDigest(r.Parts.Record):
		return refuse(ErrDiffers, "shard certificate of %s for shard %d of round %d with other weights", b.Aggregator.Short(), b.Shard, r.Number)
	case b.Update.Check(&m.cfg.Spec.Codec) != nil:
		return refuse(ErrInvalid, "shard certificate of %s for shard %d of round %d: %v", b.Aggregator.Short(), b.Shard, r.Number, b.Update.Check(&m.cfg.Spec.Codec))
	case !b.Finite && !(b.Model.IsZero() && b.Outer.IsZero() && b.Update.Size == 0):
		return refuse(ErrInvalid, "shard certificate of %s for shard %d of round %d with roots of what is not finite", b.Aggregator.Short(), b.Shard, r.Number)
	}
	if err := s.Verify(); err != nil {
		return refuse(ErrInvalid, "%v", err)
	}
	v := shardVote{
		Aggregator: b.Aggregator, Sig: s.Sig,
		Result: shardResult{Model: b.Model, Outer: b.Outer, Finite: b.Finite, Update: b.Update},
	}
	part.Votes = slices.Insert(part.Votes, i, v)
	m.setAway(b.Aggregator, false)
	if part.equal(v.Result) >= m.threshold() {
		part.Final = &v.Result
		m.s.Since = 0
		m.deriveCertificate(r)
	}
	return nil
}

// message is what the vote came in; about says which shard it is of.
func (v *shardVote) message(about *protocol.ShardCertificate, p *parts) protocol.Signed[protocol.ShardCertificate] {
	body := *about
	body.Merge, body.Model, body.Outer, body.Finite = protocol.MergeDigest(p.Record), v.Result.Model, v.Result.Outer, v.Result.Finite
	body.Update = v.Result.Update
	return protocol.Signed[protocol.ShardCertificate]{Body: body, Sig: v.Sig}
}

// deriveCertificate puts the roots of the shards together once all are there: the leaves of a shard are a power of two, so
// the RFC 6962 root over the shards' roots is that over all leaves.
func (m *Machine) deriveCertificate(r *round) {
	models, outers := []protocol.Digest{}, []protocol.Digest{}
	finite, c := true, m.unchanged(r.Parts.Record)
	for k, p := range r.Parts.Shards {
		if p.Final == nil {
			return
		}
		models, outers = append(models, p.Final.Model), append(outers, p.Final.Outer)
		finite = finite && p.Final.Finite
		if len(c.Updates) > 0 {
			c.Updates[k] = p.Final.Update
		}
	}
	if !finite {
		propose(m, m.unchanged(withoutWeights(c.Merge)))
		return
	}
	c.Model = protocol.RootOf(models)
	if m.cfg.Spec.OuterState(m.cfg.Params) > 0 {
		c.Outer = protocol.RootOf(outers)
	}
	propose(m, c)
}

// unchanged is the Certificate of a round that changes nothing.
func (m *Machine) unchanged(record []protocol.Merged) protocol.Certificate {
	return protocol.Certificate{Model: m.s.Model, Outer: m.s.Outer, Merge: record, Updates: m.cfg.Spec.Codec.NoUpdates(m.cfg.Params)}
}

// roots are those of every shard, once all are there and finite; nil else.
func (p *parts) roots() []ShardRoots {
	if p == nil || slices.ContainsFunc(p.Shards, func(s part) bool { return s.Final == nil || !s.Final.Finite }) {
		return nil
	}
	roots := make([]ShardRoots, len(p.Shards))
	for i, s := range p.Shards {
		roots[i] = ShardRoots{Model: s.Final.Model, Outer: s.Final.Outer}
	}
	return roots
}

// partDuties are an owner's part of the merge.
func (m *Machine) partDuties(self protocol.PeerID) []Duty {
	r := m.round(m.s.Round)
	base, ok := m.mergeDuty(r)
	if !ok {
		return nil
	}
	var duties []Duty
	o := m.ownership(r)
	for _, k := range m.openParts(r) {
		p := &r.Parts.Shards[k]
		if v := p.votes(); v.has(self) || !slices.Contains(o.of(k, v), self) {
			continue
		}
		if p.Agreed {
			duties = append(duties, DutyShard{DutyMerge: base, Shard: uint32(k), Record: slices.Clone(r.Parts.Record)})
			continue
		}
		d := DutySums{DutyMerge: base, Shard: uint32(k)}
		for _, b := range p.Ballots {
			d.Known = append(d.Known, b.Root)
		}
		duties = append(duties, d)
	}
	return duties
}

// openParts returns the shards whose owners have something to log now: sums, or the result once the weights are known.
func (m *Machine) openParts(r *round) []int {
	var open []int
	ahead := m.ahead(r)
	for k := range r.Parts.Shards {
		p := &r.Parts.Shards[k]
		if !p.Agreed && k < ahead || len(r.Parts.Record) > 0 && p.Final == nil {
			open = append(open, k)
		}
	}
	return open
}

// votes are those on the shard's sums until they are agreed on, and then those on its result.
func (p *part) votes() votes {
	if !p.Agreed {
		v := votes{has: func(id protocol.PeerID) bool {
			return slices.ContainsFunc(p.Ballots, func(b sumBallot) bool { _, ok := search(b.Signers, id, sumKey); return ok })
		}}
		for _, b := range p.Ballots {
			v.best = max(v.best, len(b.Signers))
		}
		return v
	}
	v := votes{has: func(id protocol.PeerID) bool { _, ok := search(p.Votes, id, voteKey); return ok }}
	for _, a := range p.Votes {
		v.best = max(v.best, p.equal(a.Result))
	}
	return v
}

// equal counts the votes for a result.
func (p *part) equal(r shardResult) int {
	n := 0
	for _, v := range p.Votes {
		if v.Result == r {
			n++
		}
	}
	return n
}

// passOverMerge marks as away the owners that hold the merge up.
func (m *Machine) passOverMerge() {
	r := m.round(m.s.Round)
	var late []protocol.PeerID
	o := m.ownership(r)
	for _, k := range m.openParts(r) {
		v := r.Parts.Shards[k].votes()
		for _, id := range o.of(k, v) {
			if !v.has(id) {
				late = append(late, id)
			}
		}
	}
	m.s.Since = m.s.Now
	m.lateOwners(r, late)
}
