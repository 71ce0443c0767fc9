package council

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"drystone/aggregate"
	"drystone/protocol"
)

var (
	long = flag.Bool("long", false, "play a thousand seeds of each setting, and crash at every event: hours, so give -timeout")
	seed = flag.Uint64("seed", 0, "replay this seed alone")
)

// limit is the virtual time within which a run must finish: some deadlines of each of its rounds.
const limit = 20 * time.Minute

// seeds are those to play: few by default, since each plays tenths of a second of signatures.
func seeds(few int) []uint64 {
	if *seed != 0 {
		return []uint64{*seed}
	}
	if *long {
		few = 1000
	}
	all := make([]uint64, few)
	for i := range all {
		all[i] = uint64(i + 1)
	}
	return all
}

// play plays an attack for each seed. check sees the end of a run and whether it finished, and tells what is wrong.
func play(t *testing.T, setup Setup, lie func(*Sim), until time.Duration, check func(s *Sim, finished bool) string) {
	t.Helper()
	for _, n := range seeds(2) {
		setup := setup
		setup.Seed = n
		s := New(setup)
		if lie != nil {
			lie(s)
		}
		wrong := check(s, s.Run(until))
		if wrong != "" {
			t.Fatalf("%s\nreplay with: go test ./internal/simtest/council -run '^%s$' -seed %d", wrong, t.Name(), n)
		}
	}
}

// live wants a finished run in which nothing happened that must not, and then what more wants.
func live(more func(s *Sim) string) func(*Sim, bool) string {
	return func(s *Sim, finished bool) string {
		if !finished {
			return fmt.Sprintf("not finished: %s", s.where())
		}
		return safe(more)(s, finished)
	}
}

// safe wants the same of a run that may stand still.
func safe(more func(s *Sim) string) func(*Sim, bool) string {
	return func(s *Sim, _ bool) string {
		if wrong := s.Judge(); len(wrong) > 0 {
			return fmt.Sprint(wrong)
		}
		if more == nil {
			return ""
		}
		return more(s)
	}
}

// broken wants the judge to say so: more liars than the design tolerates.
func broken(s *Sim, _ bool) string {
	if len(s.Judge()) == 0 {
		return "more liars than the bound, and the judge finds nothing wrong: " + s.where()
	}
	return ""
}

// stuck wants a run that stands still, with nothing false in it.
func stuck(s *Sim, finished bool) string {
	if finished {
		return "finished, though the liars could stop it"
	}
	return safe(nil)(s, finished)
}

func (s *Sim) where() string {
	text := ""
	for _, a := range s.Aggs {
		text += fmt.Sprintf("[%s down=%v %s round %d, %d statements, %d of %d records] ", s.name(a.ID()), a.Down, a.machine.Phase(), a.machine.View().Round, len(a.Chain), a.applied, len(a.order.log))
	}
	return text
}

// liars gives the last n aggregators a conduct, so that the log's first leader is honest.
func liars(n int, c Conduct) func(*Sim) {
	return func(s *Sim) {
		for _, a := range s.Aggs[len(s.Aggs)-n:] {
			a.Conduct = c
		}
	}
}

// accuses wants the last aggregator accused wherever its first signature was counted, and nobody else; caught counts.
func accuses(kinds []protocol.Kind, caught *int) func(*Sim) string {
	return func(s *Sim) string {
		liar, counted := s.Aggs[len(s.Aggs)-1].ID(), false
		for _, st := range s.Aggs[0].Chain[1:] {
			mine := func(c protocol.Cosignature) bool { return c.Signer == liar }
			counted = counted || slices.Contains(kinds, st.Statement.Kind) && slices.ContainsFunc(st.Sigs, mine)
		}
		who := append(s.Accused(aggregate.EvidenceDoubleCertificate), s.Accused(aggregate.EvidenceDoubleStatement)...)
		if slices.Contains(who, liar) {
			*caught++
		} else if counted {
			return "the liar signed twice, and there is no evidence of it"
		}
		return ""
	}
}

var rough = Links{Least: 5 * time.Millisecond, Most: 1500 * time.Millisecond, Loss: 0.2, Twice: 0.2}

// What peers, losses and duplicates do not change: an honest council finishes, and nobody is accused.
func TestHonestCouncilFinishes(t *testing.T) {
	play(t, Setup{}, nil, limit, live(nil))
	play(t, Setup{Links: rough}, nil, limit, live(nil))
}

// A withheld certificate: t-of-n needs only t, and liveness under more liars than n-t is not claimed (design, section 4).
func TestWithheldCertificate(t *testing.T) {
	play(t, Setup{}, liars(1, Withhold), limit, live(nil))
	play(t, Setup{}, liars(2, Withhold), 5*time.Minute, stuck)
}

// A biased merge: every aggregator recomputes what it signs, so fewer than t liars certify nothing.
func TestBiasedMerge(t *testing.T) {
	play(t, Setup{}, liars(1, Bias), limit, live(nil))
	play(t, Setup{}, liars(2, Bias), 5*time.Minute, stuck)
	play(t, Setup{}, liars(3, Bias), limit, broken)
}

// Two statements for one step are evidence against their signers (design, section 5).
func TestTwoStatementsForOneStepAreEvidence(t *testing.T) {
	certificates, derived := 0, 0
	play(t, Setup{}, liars(1, Equivocate), limit,
		live(accuses([]protocol.Kind{protocol.KindCertificate}, &certificates)))
	play(t, Setup{}, liars(1, EquivocateDerived), limit,
		live(accuses([]protocol.Kind{protocol.KindOpen, protocol.KindFreeze, protocol.KindRevealSet}, &derived)))
	if *seed == 0 && (certificates == 0 || derived == 0) {
		t.Fatalf("evidence in %d and %d runs", certificates, derived)
	}
}

// One verdict convicts nobody: t must agree (ADR 0003).
func TestFalseVerdict(t *testing.T) {
	play(t, Setup{}, liars(1, Accuse), limit, live(func(s *Sim) string {
		for _, f := range s.Aggs[0].Faults {
			if f.Kind == aggregate.FaultOutvoted && f.Aggregator != s.Aggs[3].ID() {
				return "an honest verifier was outvoted"
			}
		}
		return ""
	}))
	play(t, Setup{}, liars(3, Accuse), limit, broken)
}

// A payload is in if t aggregators attest to holding it.
func TestBlindAttests(t *testing.T) {
	play(t, Setup{}, liars(1, AttestBlind), limit, live(nil))
	play(t, Setup{}, liars(3, AttestBlind), limit, broken)
}

// A commit without a receipt can be left out by a lying leader. The trainer knows, and nobody else is hurt.
func TestOmittedCommitWithoutReceipt(t *testing.T) {
	play(t, Setup{}, func(s *Sim) { s.Omit(s.Aggs[0], s.Trainers[1].ID(), false) }, limit, live(func(s *Sim) string {
		victim := s.Trainers[1]
		if !s.leftOut(victim, victim.made[0]) || len(victim.receipts) > 0 {
			return "the commit was not left out, or has a receipt"
		}
		return ""
	}))
}

// A commit with a receipt cannot be left out: the giver refuses the Freeze, or its signature under it is evidence.
func TestCommitWithReceiptCannotBeLeftOut(t *testing.T) {
	play(t, Setup{}, func(s *Sim) { s.Omit(s.Aggs[0], s.Trainers[1].ID(), true) }, limit, live(func(s *Sim) string {
		victim, caught := s.Trainers[1], false
		if !s.leftOut(victim, victim.made[0]) {
			return "the commit was not left out"
		}
		for _, r := range victim.receipts[victim.made[0]] {
			if r.Body.Aggregator != s.Aggs[0].ID() {
				return "an honest aggregator gave a receipt for a commit that is not logged"
			}
			caught = caught || protocol.BrokenReceipt(&r, &victim.Chain[2])
		}
		if !caught {
			return "no receipt convicts the liar"
		}
		return ""
	}))
	// Every receipt of an honest run is kept, whatever the network does.
	play(t, Setup{Links: rough}, nil, limit, live(func(s *Sim) string {
		for _, tr := range s.Trainers {
			for _, rs := range tr.receipts {
				for _, r := range rs {
					if s.leftOut(tr, r.Body.Commit) || protocol.BrokenReceipt(&r, find(tr.Chain, protocol.KindFreeze, r.Body.Round)) {
						return "a receipt was broken"
					}
				}
			}
		}
		return ""
	}))
}

// A lying leader's false time ends no phase before the clocks of t aggregators do.
func TestFalseTimeEndsNoPhaseEarly(t *testing.T) {
	late := func(s *Sim) {
		s.FalseTime(s.Aggs[0], time.Minute)
		s.Trainers[3].Delay = func(uint32) time.Duration { return 40 * time.Second }
	}
	play(t, Setup{}, late, 5*time.Minute, safe(func(s *Sim) string {
		a := s.Aggs[1]
		for i := 2; i < len(a.Chain); i += 4 {
			f := must(protocol.DecodeBody[protocol.Freeze](&a.Chain[i].Statement))
			if took := a.When[i] - a.When[i-1]; len(f.Commits) < len(s.Trainers) && took < 59000 {
				return fmt.Sprintf("a Freeze with %d commits after %d ms", len(f.Commits), took)
			}
		}
		if len(a.Chain) < 3 {
			return "no Freeze to judge: " + s.where()
		}
		return ""
	}))
}

// A split view: with f liars no place of the chain is taken twice, and the liar's two Freezes are evidence on the log that
// lost; with more, both logs certify (the control).
func TestSplitView(t *testing.T) {
	split := func(s *Sim) { s.Split(s.Trainers[1].ID()) }
	play(t, Setup{Views: Halves(2, 3)}, split, 5*time.Minute, safe(func(s *Sim) string {
		liar := s.Aggs[2].ID()
		if who := s.Accused(aggregate.EvidenceDoubleStatement); !slices.Equal(who, []protocol.PeerID{liar}) {
			return fmt.Sprintf("%d are accused of two statements, want the liar: %s", len(who), s.where())
		}
		return ""
	}))
	play(t, Setup{Views: Halves(1, 3)}, split, 5*time.Minute, broken)
}

// 5 of 7 outvote two liars (design, section 4), whatever the two agree on.
func TestTwoLiarsOfSeven(t *testing.T) {
	seven := func(s *protocol.RunSpec) { s.Quorum = protocol.QuorumSpec{Aggregators: 7, Threshold: 5} }
	for name, c := range map[string]Conduct{"bias": Bias, "accuse": Accuse, "attest blind": AttestBlind, "withhold": Withhold} {
		t.Run(name, func(t *testing.T) { play(t, Setup{Spec: seven}, liars(2, c), limit, live(nil)) })
	}
	t.Run("split", func(t *testing.T) {
		split := func(s *Sim) { s.Split(s.Trainers[1].ID()) }
		play(t, Setup{Spec: seven, Views: Halves(2, 4)}, split, 5*time.Minute, safe(nil))
		play(t, Setup{Spec: seven, Views: Halves(2, 5)}, split, 5*time.Minute, broken)
	})
}
