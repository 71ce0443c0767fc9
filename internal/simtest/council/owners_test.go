package council

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"drystone/aggregate"
	"drystone/protocol"
)

// ownedQuorums are councils in which a part of the members owns each shard: 4 of 7, which outvote no liar, and 7 of 10,
// which outvote one (docs/protocol.md, "Owners").
var ownedQuorums = []protocol.QuorumSpec{{Aggregators: 7, Threshold: 4}, {Aggregators: 10, Threshold: 6}}

// ownedBy is a run of such a council under a vector rule, whose weights need the sums of every shard.
func ownedBy(q protocol.QuorumSpec) func(*protocol.RunSpec) {
	return func(s *protocol.RunSpec) {
		s.Quorum = q
		s.Aggregate.Rule, s.Aggregate.Radius = "centered-clip", 1
	}
}

func eachOwned(t *testing.T, play func(t *testing.T, q protocol.QuorumSpec)) {
	for _, q := range ownedQuorums {
		t.Run(fmt.Sprintf("%d of %d", q.Threshold, q.Aggregators), func(t *testing.T) { play(t, q) })
	}
}

// divided wants that owners did the merge, each shard by fewer than all.
func divided(s *Sim) string {
	merged, results := 0, 0
	for _, record := range s.orders[0].log {
		_, v, err := aggregate.DecodeRecord(record)
		switch v := v.(type) {
		case *protocol.Signed[protocol.ShardCertificate]:
			results++
		case *aggregate.Cosign:
			if err == nil && v.Statement.Kind == protocol.KindCertificate {
				merged++
			}
		}
	}
	if merged == 0 || results == 0 {
		return fmt.Sprintf("%d results of shards, %d signatures under Certificates", results, merged)
	}
	return ""
}

// An honest council with owners finishes, whatever the network does, with every Certificate the merge by all (Judge).
func TestOwnersFinish(t *testing.T) {
	eachOwned(t, func(t *testing.T, q protocol.QuorumSpec) {
		play(t, Setup{Spec: ownedBy(q)}, nil, limit, live(divided))
		play(t, Setup{Spec: ownedBy(q), Links: rough}, nil, limit, live(divided))
	})
}

// Owners that are silent or lie: n-t of them stop nothing, and fewer than t bring nothing false about. t of them do. By
// default each council plays a part of that, with -long all.
func TestOwnersThatLie(t *testing.T) {
	for _, lie := range []struct {
		name string
		c    Conduct
		lies bool // says what is not so, and does not only keep silent
	}{
		{"withhold sums", WithholdSums, false}, {"withhold shard", WithholdResult, false},
		{"bias sums", BiasSums, true}, {"bias shard", BiasShard, true}, {"attest blind", AttestBlind, true},
	} {
		t.Run(lie.name, func(t *testing.T) {
			eachOwned(t, func(t *testing.T, q protocol.QuorumSpec) {
				n, th := q.Aggregators, q.Threshold
				if q.Faults() > 0 || *long {
					play(t, Setup{Spec: ownedBy(q)}, liars(n-th, lie.c), limit, live(divided))
				}
				if q.Faults() > 0 && !*long {
					return
				}
				play(t, Setup{Spec: ownedBy(q)}, liars(1, lie.c), limit, live(divided))
				if lie.lies {
					play(t, Setup{Spec: ownedBy(q)}, liars(th, lie.c), limit, broken)
				} else {
					play(t, Setup{Spec: ownedBy(q)}, liars(n-th+1, lie.c), 5*time.Minute, stuck)
				}
			})
		})
	}
}

// Two results of one aggregator for one shard are evidence against it, and against nobody else.
func TestTwoResultsForOneShardAreEvidence(t *testing.T) {
	caught := 0
	eachOwned(t, func(t *testing.T, q protocol.QuorumSpec) {
		play(t, Setup{Spec: ownedBy(q)}, liars(1, EquivocateShard), limit, live(func(s *Sim) string {
			liar := s.Aggs[len(s.Aggs)-1].ID()
			who := s.Accused(aggregate.EvidenceDoubleShard)
			if len(who) > 0 && !slices.Equal(who, []protocol.PeerID{liar}) {
				return "others than the liar are accused"
			}
			caught += len(who)
			return ""
		}))
	})
	if *seed == 0 && caught == 0 {
		t.Fatal("no run has evidence")
	}
}

// n-t owners that crash at any point, for good or for a while: the run finishes with the statements of the undisturbed one.
func TestOwnersCrashAtAnyPoint(t *testing.T) {
	eachOwned(t, func(t *testing.T, q protocol.QuorumSpec) {
		undisturbed := New(Setup{Seed: 1, Links: calm, Spec: ownedBy(q)})
		if !undisturbed.Run(limit) {
			t.Fatal("the undisturbed run does not finish")
		}
		want, step := statements(undisturbed.Aggs[0].Chain), undisturbed.Events/3
		if *long {
			step = 1
		}
		for event := 1; event < undisturbed.Events; event += step {
			for _, pause := range []time.Duration{0, 7 * time.Second} {
				s := New(Setup{Seed: 1, Links: calm, Spec: ownedBy(q)})
				for i := range q.Aggregators - q.Threshold {
					s.CrashAt(event+i, (event+2*i)%q.Aggregators, pause)
				}
				if wrong := live(func(s *Sim) string { return s.sameAs(want) })(s, s.Run(limit)); wrong != "" {
					t.Fatalf("%d crashed at event %d for %s: %s", q.Aggregators-q.Threshold, event, pause, wrong)
				}
			}
		}
	})
}
