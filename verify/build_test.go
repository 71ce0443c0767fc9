package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"drystone/protocol"
)

// Build refuses what an audit would, and says what is missing.
func TestBuildRefuses(t *testing.T) {
	w := newWorld(t, 40, "segment", "sparse", 1)
	w.round(0, 6)
	c := w.round(1, 6)[0]
	early := w.checkpoint()
	rec := c.checked()
	tests := []struct {
		name   string
		change func(p *Proof)
		want   string
	}{
		{"checkpoint before the verdict", func(p *Proof) { p.Checkpoint = early }, "Draw is not among the first"},
		{"no checkpoint", func(p *Proof) { p.Checkpoint = nil }, "no signatures"},
		{"one cosigner", func(p *Proof) {
			p.Checkpoint = must(SignCheckpoint(w.aggs[0], w.run, w.log.Size(), must(w.log.Root(w.log.Size()))(t)))(t)
		}, "1 aggregators signed it, want 2"},
		{"another peer's Join", func(p *Proof) { p.Join = w.joins[1] }, "L0: Join: "},
		{"no statements of the round before", func(p *Proof) { p.Previous = nil }, "L0: statement chain: "},
		{"payloads of one peer", func(p *Proof) { p.Payloads = p.Payloads[:1] }, "L0: payload references: "},
		{"payloads swapped", func(p *Proof) { p.Payloads = []PayloadRefs{p.Payloads[1], p.Payloads[0]} }, "L0: payload references: "},
		{"the same check twice", func(p *Proof) { p.Checks = []CheckRecord{p.Checks[0], p.Checks[0]} }, "L1: check 1: Draw: "},
		{"too many checks", func(p *Proof) { p.Checks = append(p.Checks, p.Checks[0], p.Checks[0], p.Checks[0]) }, "L0: checks: "},
		{"an opening twice", func(p *Proof) { p.Checks[0].Opening = append(p.Checks[0].Opening, p.Checks[0].Opening[0]) }, "L1: check 0: opening: "},
		{"settled for another account", func(p *Proof) {
			p.Settlement = []SettlementRecord{{Settlement: protocol.Settlement{Run: w.run}}}
		}, "L0: settlement: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := c.material(rec)
			tt.change(&p)
			if _, err := Build(t.Context(), p, w.log); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%v, want %q", err, tt.want)
			}
		})
	}
}

// Build leaves the caller's openings as they were and takes the opened states, megabytes, out of its own.
func TestBuildStripsStates(t *testing.T) {
	w := newWorld(t, 40, "segment", "sparse", 1)
	c := w.round(0, 6)[0]
	rec := c.checked()
	rec.Opening[0].Theta = []byte("state")
	p := c.proof(rec)
	if len(p.Checks[0].Opening[0].Theta) != 0 || len(rec.Opening[0].Theta) != 5 {
		t.Fatal("the state went the wrong way")
	}
}

// What a contributor sent in place of an opening is left out of the proof that convicts it.
func TestBuildDropsJunk(t *testing.T) {
	w := newWorld(t, 40, "segment", "sparse", 1)
	c := w.round(0, 6)[0]
	rec := c.checked()
	rec.Opening[0].To.Step++
	if p := c.proof(rec); len(p.Checks[0].Opening) != 0 {
		t.Fatal("an opening that does not fit is in the proof")
	}
}

// Without the opening an audit still replays what the verdict says was replayed.
func TestAuditWithoutOpening(t *testing.T) {
	w := newWorld(t, 40, "segment", "sparse", 1)
	c := w.round(0, 6)[0]
	rec := c.checked()
	rec.Opening = nil
	r, err := Audit(t.Context(), w.reread(c.proof(rec)), w.options())
	if err != nil || r.Levels[L2].Status != StatusPartly || len(r.Levels[L2].Notes) != 1 || r.Level != "L1" {
		t.Fatalf("%v %+v", err, r)
	}
	v := rec.Verdicts[0].Verdict.Body
	v.States = protocol.Hash("copied")
	s := protocol.Sign(w.aggs[c.duty()[0]], v)
	w.append(LeafVerdict, s)
	rec.Verdicts = []VerdictRecord{{Verdict: s}}
	if _, err := Audit(t.Context(), w.reread(c.proof(rec)), w.options()); failurePart(err) != "L2: check 0: verdict 0" {
		t.Fatal(err)
	}
}

// A proof without an opening stands on the word of the quorum, and the report says so.
func TestWithheldContribution(t *testing.T) {
	w := newWorld(t, 40, "segment", "sparse", 1)
	c := w.round(0, 6)[0]
	rec := c.checked()
	v := rec.Verdicts[0].Verdict.Body
	rec.Verdicts, rec.Opening = nil, nil
	for _, k := range w.aggs[1:] {
		v.Verifier, v.Outcome, v.States = k.ID(), protocol.Withheld, protocol.StatesDigest(k.ID(), protocol.TraceState{})
		s := protocol.Sign(k, v)
		w.append(LeafVerdict, s)
		rec.Verdicts = append(rec.Verdicts, VerdictRecord{Verdict: s})
	}
	r, err := Audit(t.Context(), w.reread(c.proof(rec)), w.options())
	if err != nil || r.Standing != StandingRefuted || r.Level != "L1" || !strings.Contains(strings.Join(r.NotChecked, "\n"), "the word of those who signed") {
		t.Fatalf("%v %+v", err, r)
	}
}

// Nobody has checked the contribution: L1 has nothing to object to, and the standing says so.
func TestUncheckedContribution(t *testing.T) {
	w := newWorld(t, 40, "segment", "sparse", 1)
	c := w.round(0, 6)[0]
	r, err := Audit(t.Context(), w.reread(c.proof()), w.options())
	if err != nil || r.Standing != StandingUnchecked || r.Levels[L2].Status != StatusNotChecked {
		t.Fatalf("%v %+v", err, r)
	}
}

// Several checks of one contribution: Build orders them, and the audit covers what their draws chose together.
func TestSeveralChecks(t *testing.T) {
	w := newWorld(t, 9000, "segment", "sparse", 1)
	c := w.round(0, 6)[0]
	p := c.proof(c.checkedBy(2), c.checkedBy(0), c.checkedBy(1))
	r, err := Audit(t.Context(), w.reread(p), w.options())
	if err != nil || r.Level != "L3" || r.Standing != StandingPassed {
		t.Fatalf("%v %+v", err, r)
	}
	segments, chunks, last := map[uint32]bool{}, map[uint32]bool{}, uint32(0)
	for i := range p.Checks {
		ch := ChallengeOf(w.spec, w.params, &p.Checks[i].Draw.Body, c.peer(), 6, nil)
		segments[ch.Segment], chunks[ch.Chunks[0]] = true, true
		last = max(last, ch.Segment)
	}
	want := Coverage{Steps: 6, DrawnSteps: 2 * uint32(len(segments)), ReplayedSteps: 2 * (last + 1), Chunks: 3, DrawnChunks: uint32(len(chunks)), CheckedChunks: 3}
	if r.Coverage != want {
		t.Fatalf("%+v, want %+v", r.Coverage, want)
	}
	if late := strings.Count(strings.Join(r.NotChecked, "\n"), "were late"); late != 2 {
		t.Errorf("%d checks out of turn, want 2", late)
	}
}

// One check is judged as the aggregators judge it.
func TestStanding(t *testing.T) {
	tests := []struct {
		outcomes []protocol.Outcome
		n, t     int
		want     string
		grace    bool
	}{
		{nil, 4, 3, StandingUnchecked, false},
		{[]protocol.Outcome{protocol.Passed}, 4, 3, StandingPassed, false},
		{[]protocol.Outcome{protocol.Mismatch}, 4, 3, StandingDisputed, false},
		{[]protocol.Outcome{protocol.Mismatch, protocol.Mismatch}, 4, 3, StandingDisputed, false},
		{[]protocol.Outcome{protocol.Mismatch, protocol.Withheld, protocol.BadPayload}, 4, 3, StandingRefuted, false},
		{[]protocol.Outcome{protocol.Mismatch, protocol.Passed}, 4, 3, StandingDisputed, false},
		{[]protocol.Outcome{protocol.Mismatch, protocol.Passed, protocol.Passed}, 4, 3, StandingPassed, false},
		{[]protocol.Outcome{protocol.Malformed}, 1, 1, StandingRefuted, false},
		{[]protocol.Outcome{protocol.Withheld, protocol.Withheld, protocol.Withheld}, 4, 3, StandingRefuted, false},
		{[]protocol.Outcome{protocol.Withheld, protocol.Withheld, protocol.Withheld}, 4, 3, StandingWithheld, true},
		{[]protocol.Outcome{protocol.Mismatch, protocol.Withheld, protocol.Withheld}, 4, 3, StandingWithheld, true},
		{[]protocol.Outcome{protocol.Mismatch, protocol.Withheld, protocol.Malformed}, 4, 3, StandingRefuted, true},
		{[]protocol.Outcome{protocol.Mismatch, protocol.Withheld}, 3, 2, StandingRefuted, true}, // f = 0
		{[]protocol.Outcome{protocol.Withheld, protocol.Withheld}, 4, 3, StandingDisputed, true},
	}
	for _, tt := range tests {
		verdicts := make([]VerdictRecord, len(tt.outcomes))
		for i, o := range tt.outcomes {
			verdicts[i].Verdict.Body.Outcome = o
		}
		if got := standing(verdicts, protocol.QuorumSpec{Aggregators: tt.n, Threshold: tt.t}, tt.grace); got != tt.want {
			t.Errorf("%v with %d of %d: %s, want %s", tt.outcomes, tt.t, tt.n, got, tt.want)
		}
	}
}

// payer is a PayoutSource that answers as it is told.
type payer struct {
	lines []string
	err   error
}

func (p payer) CheckPayout(context.Context, *protocol.Genesis, *SettlementRecord) ([]string, error) {
	return p.lines, p.err
}

func TestAuditPayout(t *testing.T) {
	w := newWorld(t, 40, "segment", "sparse", 1)
	c := w.round(0, 6)[0]
	m := c.material(c.checked())
	m.Checkpoint = w.checkpoint()
	m.Settlement = []SettlementRecord{{Settlement: protocol.Settlement{Run: w.run, Epoch: 1}, Sigs: []protocol.EVMSignature{{1}}, Payout: protocol.Payout{Account: w.joins[0].Body.Payout}}}
	p := must(Build(t.Context(), m, w.log))(t)
	tests := []struct {
		name          string
		source        PayoutSource
		level, status string
		part          string
		local         bool
	}{
		{"no source", nil, "L3", StatusNotChecked, "", false},
		{"agrees", payer{lines: []string{"signed by 2 of 3"}}, "L4", StatusPassed, "", false},
		{"contradicts", payer{err: fmt.Errorf("claimed less: %w", ErrPayout)}, "L3", StatusFailed, "L4: settlement", false},
		{"chain out of reach", payer{lines: []string{"signed by 2 of 3"}, err: fmt.Errorf("no endpoint: %w", ErrMissing)}, "L3", StatusPartly, "", false},
		{"broken", payer{err: errors.New("disk")}, "L3", StatusNotChecked, "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := w.options()
			o.Payout = tt.source
			r, err := Audit(t.Context(), w.reread(p), o)
			if failurePart(err) != tt.part || (err != nil) != (tt.part != "" || tt.local) || r.Level != tt.level || r.Levels[L4].Status != tt.status {
				t.Fatalf("%v, level %s, L4 %s", err, r.Level, r.Levels[L4].Status)
			}
		})
	}
	data := must(p.Encode())(t) // the contract's signatures are beyond L0 to L3: the trailer covers them
	at := bytes.LastIndex(data, append([]byte{1}, make([]byte, 64)...))
	data[at+5] ^= 1
	if _, err := Audit(t.Context(), must(DecodeProof(data))(t), Options{}); failurePart(err) != "L0: trailer" {
		t.Fatal(err)
	}
}

func TestDecodeProofRefuses(t *testing.T) {
	_, p := tiny(t)
	data := must(p.Encode())(t)
	for name, bad := range map[string][]byte{
		"empty":       nil,
		"only magic":  []byte(magic),
		"other magic": bytes.Replace(data, []byte("proof 1"), []byte("proof 2"), 1),
		"cut":         data[:len(data)-1],
		"longer":      append(bytes.Clone(data), 0),
		"too long":    append(bytes.Clone(data), make([]byte, MaxProof)...),
	} {
		if _, err := DecodeProof(bad); !errors.Is(err, ErrNotProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
