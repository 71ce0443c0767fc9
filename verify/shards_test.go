package verify

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"drystone/protocol"
)

// partialWorld has three shards, of which the first peer trains two and the second one.
func partialWorld(t testing.TB, kind, up string, chunks uint32) *world {
	w := newWorldOf(t, 9000, kind, up, chunks, 1)
	w.capacity = []uint32{2, 1}
	return w
}

// Partial contributions pass the check of every segment, with the chunks of their shards and, for a codec with error
// feedback, those carried over; and their proofs pass an audit up to the merge.
func TestPartialPasses(t *testing.T) {
	for _, kind := range []string{"segment", "prefix"} {
		for _, up := range []string{"sparse", "dense"} {
			t.Run(kind+"/"+up, func(t *testing.T) {
				w := partialWorld(t, kind, up, 2)
				w.round(0, 6)
				cs := w.round(1, 5)
				for i, c := range cs {
					if len(c.assignment.Shards) != int(w.capacity[i]) || len(c.shards) != len(c.assignment.Shards) {
						t.Fatalf("assignment %+v with %d payloads", c.assignment, len(c.shards))
					}
					d := c.draw(0)
					ch := ChallengeOf(w.spec, w.params, &d.Body, c.peer(), 5, c.assignment.Shards)
					if up == "sparse" && len(ch.Chunks) != 3 {
						t.Fatalf("chunks %v: 2 shards of one chunk are trained or left out, 2 of each are drawn", ch.Chunks)
					}
					for seg := range uint32(3) {
						outcome, state, err := Check(t.Context(), c.task(Challenge{seg, ch.Chunks}), Tools{&toy{c: w.spec.Codec}, c})
						if err != nil || outcome != protocol.Passed || state != c.state(int(seg)+1) {
							t.Fatalf("peer %d, segment %d: %s, %v", i, seg, outcome, err)
						}
					}
					r, err := Audit(t.Context(), w.reread(c.proof(c.checked())), w.options())
					if err != nil || r.Level != "L3" || r.Standing != StandingPassed || r.Owed != len(c.shards) || r.Shards != 3 {
						t.Fatalf("peer %d: %v %+v", i, err, r)
					}
					if want := w.spec.Tokens(5, w.params, c.assignment.Shards); r.Tokens != want || r.Tokens >= 5*w.spec.TokensPerStep() {
						t.Errorf("%d tokens, want %d", r.Tokens, want)
					}
					var text bytes.Buffer
					if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), fmt.Sprintf("%d of 3 shards", len(c.shards))) {
						t.Errorf("report: %v\n%s", err, &text)
					}
				}
			})
		}
	}
}

// Whoever trains other shards than assigned, changes what it was to leave alone, or lies about the error feedback that it
// carries over is caught, and the audit agrees with the verdict.
func TestPartialCheatsAreCaught(t *testing.T) {
	for name, x := range map[string]struct {
		ch   cheat
		want map[string]protocol.Outcome // by kind of check, of some segment
	}{
		"other shards": {cheat{shards: []uint32{1, 2}}, map[string]protocol.Outcome{"segment": protocol.Mismatch, "prefix": protocol.Mismatch}},
		"more shards":  {cheat{shards: []uint32{0, 1, 2}}, map[string]protocol.Outcome{"segment": protocol.Mismatch, "prefix": protocol.Mismatch}},
		"frozen theta, every segment": {cheat{state: func(seg int, s toyState) { s[0][8999] = 7 }},
			map[string]protocol.Outcome{"segment": protocol.Mismatch, "prefix": protocol.Mismatch}},
		"carried feedback": {cheat{after: func(f []float32) { f[8999] += 0.5 }}, map[string]protocol.Outcome{"segment": protocol.BadPayload, "prefix": protocol.BadPayload}},
		"payload":          {cheat{payload: func(p []byte) { p[0] ^= 1 }}, map[string]protocol.Outcome{"segment": protocol.BadPayload, "prefix": protocol.BadPayload}},
	} {
		for _, kind := range []string{"segment", "prefix"} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				w := partialWorld(t, kind, "sparse", 2)
				w.capacity = []uint32{2, 2}
				c := w.round(0, 6, x.ch)[0]
				if !slices.Equal(c.assignment.Shards, []uint32{0, 1}) {
					t.Fatalf("assigned %v", c.assignment.Shards)
				}
				found := protocol.Passed
				for seg := range uint32(3) {
					outcome, _, err := Check(t.Context(), c.task(Challenge{seg, []uint32{0, 1, 2}}), Tools{&toy{c: w.spec.Codec}, c})
					if err != nil {
						t.Fatal(err)
					}
					if outcome == protocol.Passed {
						t.Errorf("segment %d passes", seg)
					}
					if seg == 0 {
						found = outcome
					}
				}
				if found != x.want[kind] {
					t.Errorf("segment 0: %s, want %s", found, x.want[kind])
				}
				r, err := Audit(t.Context(), w.reread(c.proof(c.checked())), w.options())
				if err != nil || r.Standing != StandingRefuted {
					t.Fatalf("%v %+v", err, r)
				}
			})
		}
	}
}

// A false state between two honest ones that only the frozen part shows: the opened theta differs from theta_r there.
func TestFrozenPartOfOpening(t *testing.T) {
	w := partialWorld(t, "segment", "dense", 0)
	w.capacity = []uint32{2, 2}
	c := w.round(0, 6, cheat{state: func(seg int, s toyState) { s[0][8999] = 7 }})[0]
	for seg := range uint32(2) { // each begins and ends with the false value, and leaves it alone
		outcome, _, err := Check(t.Context(), c.task(Challenge{Segment: seg + 1}), Tools{&toy{c: w.spec.Codec}, c})
		if err != nil || outcome != protocol.Malformed {
			t.Errorf("segment %d: %s, %v", seg+1, outcome, err)
		}
	}
}

// A proof whose payloads are those of other shards than the Open assigns is not believed.
func TestPartialProofRefused(t *testing.T) {
	w := partialWorld(t, "segment", "sparse", 1)
	c := w.round(0, 6)[0]
	good := c.material(c.checked())
	for name, edit := range map[string]func(p *Proof){
		"fewer": func(p *Proof) { p.Payloads[0].Shards = p.Payloads[0].Shards[:1] },
		"more":  func(p *Proof) { p.Payloads[0].Shards = append(p.Payloads[0].Shards, p.Payloads[1].Shards[0]) },
	} {
		p := good
		p.Payloads = slices.Clone(good.Payloads)
		edit(&p)
		_, err := Build(t.Context(), p, w.log)
		var f *Failure
		if !errors.As(err, &f) || f.Part != "payload references" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
