package verify

import (
	"bytes"
	"fmt"
	"slices"

	"drystone/protocol"
)

// challengeParts is L1: who checked what follows from draws that nobody could choose, and the verdicts are on that.
func (a *audit) challengeParts() []part {
	parts := []part{{"Genesis", a.checkPossession}}
	for i := range a.p.Checks {
		name := fmt.Sprintf("check %d", i)
		parts = append(parts,
			part{name + ": Draw", func() error { return a.checkDraw(i) }},
			part{name + ": opening", func() error { return a.checkOpening(i) }},
			part{name + ": verdicts", func() error { return a.checkVerdicts(i) }})
	}
	return append(parts, part{"", a.judge})
}

// checkPossession checks the BLS keys with which draws are made.
func (a *audit) checkPossession() error {
	for _, m := range a.council.Members {
		if err := VerifyPossession(m.BLS, m.Proof); err != nil {
			return fmt.Errorf("BLS key of %s: %w", m.ID.Short(), err)
		}
	}
	return nil
}

func (a *audit) checkDraw(i int) error {
	d := &a.p.Checks[i].Draw
	if i > 0 && bytes.Compare(a.p.Checks[i-1].Draw.Body.Verifier[:], d.Body.Verifier[:]) >= 0 {
		return fmt.Errorf("draws are not in ascending order of verifiers")
	}
	c, set := &a.p.Commit.Body, a.p.RevealSet.Statement.Digest()
	if err := VerifyDraw(d, a.council, c.Round, a.freeze.Root, set); err != nil {
		return err
	}
	ids := make([]protocol.PeerID, len(a.council.Members))
	for j, m := range a.council.Members {
		ids[j] = m.ID
	}
	duty := slices.Index(protocol.CheckOrder(set, c.Peer, ids), d.Body.Verifier)
	if duty < 0 {
		return fmt.Errorf("%s may not check this contribution", d.Body.Verifier.Short())
	}
	ch := ChallengeOf(a.spec, a.params, &d.Body, c.Peer, c.Steps, a.shards)
	a.challenges = append(a.challenges, ch)
	from, to := SegmentSteps(a.spec, c.Steps, ch.Segment)
	a.r.note(L1, "draw of %s, number %d in the order of duty, chose segment %d (steps %d to %d) and %d codec chunks", d.Body.Verifier.Short(), duty+1, ch.Segment, from+1, to, len(ch.Chunks))
	if uint32(duty) >= a.spec.Verify.Checks {
		a.r.skip(L1, "that those before %s in the order of duty were late", d.Body.Verifier.Short())
	}
	return nil
}

func (a *audit) opened(i int) opened {
	return opened{a.spec, a.params, &a.p.Commit.Body, a.p.Start, a.p.End, a.shards, a.challenges[i]}
}

func (a *audit) checkOpening(i int) error {
	switch o := a.p.Checks[i].Opening; len(o) {
	case 0:
		return nil
	case 1:
		return a.opened(i).check(&o[0], false)
	default:
		return fmt.Errorf("%d openings of one draw, want at most one", len(o))
	}
}

func (a *audit) checkVerdicts(i int) error {
	rec, c := &a.p.Checks[i], &a.p.Commit.Body
	for j := range rec.Verdicts {
		v := &rec.Verdicts[j].Verdict.Body
		if j > 0 && bytes.Compare(rec.Verdicts[j-1].Verdict.Body.Verifier[:], v.Verifier[:]) >= 0 {
			return fmt.Errorf("not in ascending order of verifiers")
		}
		_, member := a.council.Member(v.Verifier)
		switch {
		case !member || v.Verifier == c.Peer:
			return fmt.Errorf("%s may not judge this contribution", v.Verifier.Short())
		case v.Run != a.run || v.Round != c.Round || v.Peer != c.Peer:
			return fmt.Errorf("that of %s is on another contribution", v.Verifier.Short())
		case v.Drawer != rec.Draw.Body.Verifier || v.Segment != a.challenges[i].Segment:
			return fmt.Errorf("that of %s is on segment %d drawn by %s, the draw chose segment %d", v.Verifier.Short(), v.Segment, v.Drawer.Short(), a.challenges[i].Segment)
		case v.Outcome < protocol.Passed || v.Outcome > protocol.Malformed:
			return fmt.Errorf("that of %s has unknown outcome %d", v.Verifier.Short(), v.Outcome)
		}
		if v.Outcome == protocol.Passed && len(rec.Opening) == 1 && v.States != protocol.StatesDigest(v.Verifier, rec.Opening[0].To) {
			return fmt.Errorf("%s passed the contribution but names other states than the trace", v.Verifier.Short())
		}
		a.r.note(L1, "verdict of %s on segment %d: %s", v.Verifier.Short(), v.Segment, v.Outcome)
	}
	return nil
}

// judge counts the verdicts and what the draws cover; it cannot fail. One check refutes a contribution when t verifiers
// found it false.
func (a *audit) judge() error {
	steps, chunks := map[uint32]bool{}, map[uint32]bool{}
	cov := &a.r.Coverage
	cov.Chunks = Chunks(a.params)
	for i, rec := range a.p.Checks {
		if seg := a.challenges[i].Segment; !steps[seg] {
			steps[seg] = true
			from, to := SegmentSteps(a.spec, cov.Steps, seg)
			cov.DrawnSteps += to - from
		}
		for _, c := range a.challenges[i].Chunks {
			chunks[c] = true
		}
		a.standings = append(a.standings, standing(rec.Verdicts, a.council.Quorum(), a.spec.Verify.Grace))
	}
	cov.DrawnChunks = uint32(len(chunks))
	a.r.Standing = StandingUnchecked
	for _, s := range []string{StandingRefuted, StandingWithheld, StandingDisputed, StandingPassed} {
		if slices.Contains(a.standings, s) {
			a.r.Standing = s
			break
		}
	}
	if len(a.p.Checks) < int(a.spec.Verify.Checks) {
		a.r.skip(L1, "%d of %d checks: the proof holds only %d", int(a.spec.Verify.Checks)-len(a.p.Checks), a.spec.Verify.Checks, len(a.p.Checks))
	}
	return nil
}

// standing judges one check as the aggregators of a quorum do: t failed verdicts refute; a failed verdict that more than n-t
// contradict can find no t any more. With grace, t failed ones of which no more than f found anything false say that it
// was withheld.
func standing(verdicts []VerdictRecord, q protocol.QuorumSpec, grace bool) string {
	passed, failed, withheld := 0, 0, 0
	for i := range verdicts {
		switch verdicts[i].Verdict.Body.Outcome {
		case protocol.Passed:
			passed++
		case protocol.Withheld:
			withheld++
			fallthrough
		default:
			failed++
		}
	}
	switch {
	case failed >= q.Threshold && grace && failed-withheld <= q.Faults():
		return StandingWithheld
	case failed >= q.Threshold:
		return StandingRefuted
	case failed > 0 && passed <= q.Aggregators-q.Threshold:
		return StandingDisputed
	case passed > 0:
		return StandingPassed
	}
	return StandingUnchecked
}

// failed reports whether a quorum found a check failed, for whatever reason.
func failed(standing string) bool { return standing == StandingRefuted || standing == StandingWithheld }
