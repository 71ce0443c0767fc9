package aggregate_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"drystone/aggregate"
	"drystone/aggregate/internal/aggtest"
	"drystone/protocol"
)

const ownedShards = 6

// fewOwners is a run in which 3 of 5 aggregators own each of 6 shards.
func fewOwners(s *protocol.RunSpec) {
	twoRounds(s)
	s.Quorum = protocol.QuorumSpec{Aggregators: 5, Threshold: 3}
}

// newOwnedPlay is newPlay of a run whose shards have owners.
func newOwnedPlay(t tb, change func(*protocol.RunSpec)) *play {
	return newPlayOf(t, ownedShards, change)
}

func newPlayOf(t tb, shards int, change func(*protocol.RunSpec)) *play {
	w := aggtest.New(change)
	w.Ownership, w.Params = true, shards*w.Spec.Codec.ShardParams-100
	m, err := aggregate.New(w.Config())
	if err != nil {
		t.Fatal(err)
	}
	p := &play{tb: t, w: w, m: m, done: map[string]bool{}}
	p.must(w.Genesis())
	return p
}

// heldBy counts, by aggregator, the shards of contributions that it attests to, and the results that it logs.
func heldBy(p *play) (held, results map[protocol.PeerID]int) {
	held, results = map[protocol.PeerID]int{}, map[protocol.PeerID]int{}
	for _, record := range p.records {
		_, v, err := aggregate.DecodeRecord(record)
		if err != nil {
			p.Fatal(err)
		}
		switch v := v.(type) {
		case *protocol.Signed[protocol.Attest]:
			n := len(v.Body.Shards)
			if n == 0 {
				n = ownedShards
			}
			held[v.Body.Aggregator] += n
		case *protocol.Signed[protocol.ShardCertificate]:
			results[v.Body.Aggregator]++
		}
	}
	return held, results
}

func chainOf(p *play) []protocol.Digest {
	var chain []protocol.Digest
	for i := range p.final {
		chain = append(chain, p.final[i].Statement.Digest())
	}
	return chain
}

// Every aggregator gathers and merges the shards that rendezvous hashing gives it and no others, t+f for each.
func TestOwnersShareTheWork(t *testing.T) {
	p := newOwnedPlay(t, fewOwners)
	p.join(0, 1, 2)
	p.rounds(2, 0, 1, 2)
	if got := p.m.View().Phase; got != aggregate.PhaseFinished {
		t.Fatalf("the run stands in %s", got)
	}
	want := map[protocol.PeerID]int{}
	for k := range uint32(ownedShards) {
		for _, id := range protocol.OwnerOrder(p.w.Run, k, p.w.Members())[:3] {
			want[id]++
		}
	}
	held, results := heldBy(p)
	for id, n := range want {
		if held[id] != n*3*2 || results[id] != n*2 {
			t.Errorf("%s owns %d shards: attests to %d shards of 3 peers in 2 rounds, merges %d", p.w.Name(id), n, held[id], results[id])
		}
	}
	if len(held) != len(want) || len(p.fx.Faults)+len(p.fx.Evidence) > 0 {
		t.Errorf("%d attest, want %d; faults %v, evidence %v", len(held), len(want), p.fx.Faults, p.fx.Evidence)
	}
}

// With the default quorums everyone owns everything, whether or not ownership is asked for: the same records, byte for byte.
func TestOwnershipChangesNothingWhereAllOwn(t *testing.T) {
	run := func(ownership bool) [][]byte {
		w := aggtest.New(twoRounds)
		w.Ownership = ownership
		m, err := aggregate.New(w.Config())
		if err != nil {
			t.Fatal(err)
		}
		p := &play{tb: t, w: w, m: m, done: map[string]bool{}}
		p.must(w.Genesis())
		p.join(0, 1, 2)
		p.rounds(2, 0, 1, 2)
		return p.records
	}
	if got, want := run(true), run(false); !slices.EqualFunc(got, want, slices.Equal) {
		t.Error("the records differ")
	}
}

// n-t aggregators that crash, at any moment of a round and for good, stall nothing even where f is 0, and change no
// statement: the chain is that of the undisturbed run.
func TestOwnersThatCrash(t *testing.T) {
	for _, shards := range []int{2, ownedShards} { // of few shards the next in order may own none, and be dead as well
		ownersThatCrash(t, shards)
	}
}

func ownersThatCrash(t *testing.T, shards int) {
	calm := newPlayOf(t, shards, fewOwners)
	calm.join(0, 1, 2)
	calm.rounds(2, 0, 1, 2)
	for pair := range 10 {
		a := pair % 5
		b := (a + 1 + pair/5) % 5
		alive := slices.DeleteFunc([]int{0, 1, 2, 3, 4}, func(i int) bool { return i == a || i == b })
		for _, at := range []aggregate.Phase{aggregate.PhaseTrain, aggregate.PhaseReveal, aggregate.PhaseMerge} {
			p := newPlayOf(t, shards, fewOwners)
			p.join(0, 1, 2)
			crashed := false
			for p.m.Phase() != aggregate.PhaseFinished {
				if p.m.Phase() == aggregate.PhaseTrain {
					p.tick(1)
					p.commit(0, 1, 2)
				}
				crashed = crashed || p.m.Phase() >= at
				before := len(p.records)
				if crashed {
					p.work(alive...)
				} else {
					p.step()
				}
				if len(p.records) == before {
					p.tick(8) // half of deadlines.reveal is 15 s, and all of it would leave contributions out
					if p.now > 1000 {
						t.Fatalf("agg%d and agg%d crash in %s: the run stands in %s of round %d", a, b, at, p.m.Phase(), p.m.View().Round)
					}
				}
			}
			if !slices.Equal(chainOf(p), chainOf(calm)) {
				t.Errorf("agg%d and agg%d crash in %s: another chain", a, b, at)
			}
			for _, f := range p.fx.Faults {
				if i := slices.IndexFunc(p.w.Aggs, func(k protocol.Key) bool { return k.ID() == f.Aggregator }); i != a && i != b {
					t.Errorf("agg%d is at fault: %s", i, f.Kind)
				}
			}
		}
	}
}

// step lets the first aggregator that owes something do one thing.
func (p *play) step() {
	p.Helper()
	for i, k := range p.w.Aggs {
		for _, d := range p.m.Duties(k.ID()) {
			if key := string(rune('0'+i)) + d.Key(); !p.done[key] {
				p.done[key] = true
				p.must(p.w.Discharge(k, d))
				return
			}
		}
	}
}

// Whatever the order in which owners act, and whoever is restored from a snapshot in between, the chain is the same.
func TestOwnersInAnyOrder(t *testing.T) {
	calm := newOwnedPlay(t, fewOwners)
	calm.join(0, 1, 2)
	calm.rounds(2, 0, 1, 2)
	rapid.Check(t, func(t *rapid.T) {
		p := newOwnedPlay(t, fewOwners)
		p.join(0, 1, 2)
		for p.m.Phase() != aggregate.PhaseFinished {
			if p.m.Phase() == aggregate.PhaseTrain {
				p.commit(0, 1, 2)
			}
			type act struct {
				k protocol.Key
				d aggregate.Duty
			}
			var acts []act
			for _, k := range p.w.Aggs {
				for _, d := range p.m.Duties(k.ID()) {
					acts = append(acts, act{k, d})
				}
			}
			if len(acts) == 0 {
				t.Fatalf("nobody owes anything in %s", p.m.Phase())
			}
			x := acts[rapid.IntRange(0, len(acts)-1).Draw(t, "act")]
			fx, err := p.m.Apply(p.w.Discharge(x.k, x.d))
			if err != nil {
				t.Fatal(err)
			}
			p.final, p.leaves = append(p.final, fx.Final...), append(p.leaves, fx.Leaves...)
			if rapid.IntRange(0, 20).Draw(t, "restart") == 0 {
				m, err := aggregate.New(p.w.Config())
				if err != nil {
					t.Fatal(err)
				}
				if err := m.Restore(p.snapshot()); err != nil {
					t.Fatal(err)
				}
				p.m = m
			}
		}
		if !slices.Equal(chainOf(p), chainOf(calm)) {
			t.Fatal("another chain")
		}
	})
}

// f owners that lie about attests, sums and results are outvoted; with f = 0, where no liar is promised to be survived, the
// next in order are called as soon as the owners can no longer agree.
func TestOwnersThatLie(t *testing.T) {
	for _, q := range []protocol.QuorumSpec{{Aggregators: 5, Threshold: 3}, {Aggregators: 10, Threshold: 6}} {
		change := func(s *protocol.RunSpec) { fewOwners(s); s.Quorum = q }
		calm := newOwnedPlay(t, change)
		calm.join(0, 1, 2)
		calm.rounds(2, 0, 1, 2)
		for liar := range q.Aggregators {
			p := newOwnedPlay(t, change)
			p.join(0, 1, 2)
			for steps := 0; p.m.Phase() != aggregate.PhaseFinished; steps++ {
				if p.m.Phase() == aggregate.PhaseTrain {
					p.commit(0, 1, 2)
				}
				before := len(p.records)
				k := p.w.Aggs[liar]
				for _, d := range p.m.Duties(k.ID()) {
					if record := lie(p.w, k, d); record != nil {
						p.must(record)
					}
				}
				p.step()
				if len(p.records) == before {
					t.Fatalf("%d of %d, agg%d lies: the run stands in %s", q.Threshold, q.Aggregators, liar, p.m.Phase())
				}
			}
			if !slices.Equal(chainOf(p), chainOf(calm)) {
				t.Errorf("%d of %d, agg%d lies: another chain", q.Threshold, q.Aggregators, liar)
			}
		}
	}
}

// lie is the false record with which an owner does its duty; nil for another duty.
func lie(w *aggtest.World, k protocol.Key, duty aggregate.Duty) []byte {
	switch d := duty.(type) {
	case aggregate.DutyGather:
		_, v, _ := aggregate.DecodeRecord(w.Attest(k, d))
		a := v.(*protocol.Signed[protocol.Attest]).Body
		a.End.Payload = protocol.Hash("lie")
		return aggregate.AttestRecord(protocol.Sign(k, a))
	case aggregate.DutySums:
		return w.SumsOf(k, d, make([]byte, 8*len(d.RevealSet.Set)))
	case aggregate.DutyShard:
		c := w.CertifyShard(k, d)
		c.Model = protocol.Hash("lie")
		return aggregate.ShardRecord(protocol.Sign(k, c))
	}
	return nil
}

// What an owner may not say, and when it is too early or too late for what it may.
func TestOwnersRefused(t *testing.T) {
	p := newOwnedPlay(t, fewOwners)
	p.join(0, 1, 2)
	p.work()
	p.commit(0, 1, 2)
	for p.m.Phase() != aggregate.PhaseReveal {
		p.step()
	}
	refused := func(want error, record []byte) {
		t.Helper()
		if err := p.try(record); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	k := p.w.Aggs[0]
	gather := find[aggregate.DutyGather](p, k)
	for _, bad := range [][]uint32{{1, 0}, {2, 2}, {0, ownedShards}, {0, 1, 2, 3, 4, 5}} {
		d := gather
		d.Own = bad
		_, v, _ := aggregate.DecodeRecord(p.w.Attest(k, d))
		a := v.(*protocol.Signed[protocol.Attest]).Body
		a.Shards = bad
		refused(aggregate.ErrInvalid, aggregate.AttestRecord(protocol.Sign(k, a)))
	}
	one := gather
	one.Own = gather.Own[:1]
	p.must(p.w.Attest(k, one))
	refused(aggregate.ErrDuplicate, p.w.Attest(k, one))
	p.must(p.w.Attest(k, gather)) // more shards
	refused(aggregate.ErrDuplicate, p.w.Attest(k, one))

	for p.m.Phase() != aggregate.PhaseMerge {
		p.step()
	}
	sums := find[aggregate.DutySums](p, k)
	honest := make([]byte, 24)
	missing := sums
	missing.Known = []protocol.Digest{protocol.MerkleRoot(honest)}
	refused(aggregate.ErrEarly, p.w.SumsOf(k, missing, honest))
	refused(aggregate.ErrInvalid, p.w.SumsOf(k, sums, make([]byte, 32)))
	odd := sums
	odd.Shard = ownedShards
	refused(aggregate.ErrInvalid, p.w.SumsOf(k, odd, honest))
	odd = sums
	odd.Prev = protocol.Hash("another")
	refused(aggregate.ErrDiffers, p.w.SumsOf(k, odd, honest))
	refused(aggregate.ErrInvalid, p.w.SumsOf(p.w.Peers[0], sums, honest))
	shard := aggregate.DutyShard{DutyMerge: sums.DutyMerge, Shard: sums.Shard}
	certify := func(d aggregate.DutyShard, change func(*protocol.ShardCertificate)) []byte {
		c := p.w.CertifyShard(k, d)
		if change != nil {
			change(&c)
		}
		return aggregate.ShardRecord(protocol.Sign(k, c))
	}
	refused(aggregate.ErrEarly, certify(shard, nil))
	p.must(p.w.Sums(k, sums))
	refused(aggregate.ErrDuplicate, p.w.Sums(k, sums))
	if err := p.try(p.w.SumsOf(k, sums, honest)); err != nil || len(p.fx.Evidence) != 1 || p.fx.Evidence[0].Kind != aggregate.EvidenceDoubleShard {
		t.Errorf("other sums of one shard: %v, evidence %v", err, p.fx.Evidence)
	}
	refused(aggregate.ErrDiffers, p.w.SumsOf(k, sums, honest))

	for len(p.m.Duties(k.ID())) == 0 || !is[aggregate.DutyShard](p.m.Duties(k.ID())[0]) {
		p.step()
	}
	refused(aggregate.ErrLate, p.w.Sums(p.w.Aggs[1], sums))
	shard = find[aggregate.DutyShard](p, k)
	refused(aggregate.ErrDiffers, certify(shard, func(c *protocol.ShardCertificate) { c.Merge = protocol.Hash("other") }))
	refused(aggregate.ErrInvalid, certify(shard, func(c *protocol.ShardCertificate) { c.Finite = false }))
	p.must(certify(shard, nil))
	refused(aggregate.ErrDuplicate, certify(shard, nil))
	refused(aggregate.ErrDiffers, certify(shard, func(c *protocol.ShardCertificate) { c.Outer = protocol.Hash("other") }))
	p.work()
	refused(aggregate.ErrLate, certify(shard, nil))
}

func is[D aggregate.Duty](d aggregate.Duty) bool { _, ok := d.(D); return ok }

// find returns the first duty of a kind that an aggregator has.
func find[D aggregate.Duty](p *play, k protocol.Key) (d D) {
	p.Helper()
	for _, x := range p.m.Duties(k.ID()) {
		if found, ok := x.(D); ok {
			return found
		}
	}
	p.Fatalf("%s owes no %T", p.w.Name(k.ID()), d)
	return d
}

// A shard whose result is not finite makes the whole model carry over, with every weight 0.
func TestOwnersOfWhatIsNotFinite(t *testing.T) {
	p := newOwnedPlay(t, fewOwners)
	p.join(0, 1, 2)
	model := p.m.View().Model
	for p.m.View().Round == 0 {
		if p.m.Phase() == aggregate.PhaseTrain {
			p.commit(0, 1, 2)
		}
		for _, k := range p.w.Aggs {
			for _, d := range p.m.Duties(k.ID()) {
				if d, ok := d.(aggregate.DutyShard); ok && d.Shard == 2 {
					c := p.w.CertifyShard(k, d)
					c.Finite, c.Model, c.Outer = false, protocol.Digest{}, protocol.Digest{}
					p.must(aggregate.ShardRecord(protocol.Sign(k, c)))
				}
			}
		}
		p.step()
	}
	cert, err := protocol.DecodeBody[protocol.Certificate](&p.final[len(p.final)-1].Statement)
	if err != nil || cert.Model != model {
		t.Fatalf("%v: model %s, want %s", err, cert.Model.Short(), model.Short())
	}
	for _, x := range cert.Merge {
		if x.Weight != 0 {
			t.Errorf("weight %x of %s", x.Weight, p.w.Name(x.Peer))
		}
	}
}

// FuzzOwnerRecord applies hostile records while shards are being merged: each is refused or accepted, and never a panic.
func FuzzOwnerRecord(f *testing.F) {
	p := newOwnedPlay(f, fewOwners)
	p.join(0, 1, 2)
	p.work()
	p.commit(0, 1, 2)
	var merging, weighed []byte
	for p.m.View().Round == 0 {
		p.step()
		if p.m.Phase() == aggregate.PhaseMerge && merging == nil {
			merging = p.snapshot()
		}
		if d := p.m.Duties(p.w.Aggs[0].ID()); weighed == nil && len(d) > 0 && is[aggregate.DutyShard](d[0]) {
			weighed = p.snapshot()
		}
	}
	for _, r := range p.records[20:] {
		f.Add(r)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, snapshot := range [][]byte{merging, weighed} {
			m, err := aggregate.New(p.w.Config())
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Restore(snapshot); err != nil {
				t.Fatal(err)
			}
			m.Apply(data)
			m.Duties(p.w.Aggs[0].ID())
		}
	})
}

// ownedReveal plays a run of 10 aggregators, of which 7 own each shard and one liar is outvoted, up to its first reveal phase.
func ownedReveal(t *testing.T) *play {
	p := newOwnedPlay(t, func(s *protocol.RunSpec) {
		fewOwners(s)
		s.Quorum = protocol.QuorumSpec{Aggregators: 10, Threshold: 6}
	})
	p.join(0, 1, 2)
	p.work()
	p.commit(0, 1, 2)
	for p.m.Phase() != aggregate.PhaseReveal {
		p.step()
	}
	p.tick(1)
	return p
}

// Who says that a reveal is out calls its other owners late. f liars that say so of one that nobody has revealed are not
// believed; f+1 equal attests are, of whom one at least is honest, and then the next in order own the shard.
func TestOwnersPassedOverByMoreThanFAttests(t *testing.T) {
	for attests := range 4 {
		for _, honest := range []bool{true, false} {
			if f := 1; !honest && attests > f {
				continue // more liars than the quorum outvotes
			}
			p := ownedReveal(t)
			order := protocol.OwnerOrder(p.w.Run, 0, p.w.Members())
			key := func(id protocol.PeerID) protocol.Key {
				return p.w.Aggs[slices.IndexFunc(p.w.Aggs, func(k protocol.Key) bool { return k.ID() == id })]
			}
			for _, id := range order[:attests] {
				d := find[aggregate.DutyGather](p, key(id))
				if d.Own = []uint32{0}; honest {
					p.must(p.w.Attest(key(id), d))
				} else {
					p.must(lie(p.w, key(id), d))
				}
			}
			p.tick(15) // half of deadlines.reveal
			late := map[protocol.PeerID]bool{}
			for _, f := range p.fx.Faults {
				late[f.Aggregator] = true
			}
			for i, id := range order[:7] {
				if want := attests > 1 && i >= attests; late[id] != want {
					t.Errorf("%d attests, honest %v: owner %d late: %v, want %v", attests, honest, i, late[id], want)
				}
			}
			for _, id := range order[7:] {
				if owes := slices.ContainsFunc(p.m.Duties(id), func(d aggregate.Duty) bool {
					g, ok := d.(aggregate.DutyGather)
					return ok && slices.Contains(g.Own, 0)
				}); owes != (attests > 1) || late[id] {
					t.Errorf("%d attests, honest %v: the next in order owes shard 0: %v, is late: %v", attests, honest, owes, late[id])
				}
			}
		}
	}
}

// Any number of readers may derive duties at a time, from a machine that has just been restored, too: under -race none of
// them writes what another reads.
func TestOwnersAreReadSideBySide(t *testing.T) {
	p := ownedReveal(t)
	for _, phase := range []aggregate.Phase{aggregate.PhaseReveal, aggregate.PhaseMerge} {
		for p.m.Phase() != phase {
			p.step()
		}
		m, err := aggregate.New(p.w.Config())
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Restore(p.snapshot()); err != nil {
			t.Fatal(err)
		}
		var readers sync.WaitGroup
		for _, k := range p.w.Aggs {
			readers.Go(func() {
				if got, want := len(m.Duties(k.ID())), len(p.m.Duties(k.ID())); got != want {
					t.Errorf("%s in %s: %d duties, want %d", p.w.Name(k.ID()), phase, got, want)
				}
				m.View()
			})
		}
		readers.Wait()
	}
}
