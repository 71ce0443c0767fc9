package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"testing"

	"drystone/protocol"
)

// replace takes an aggregator out and another in, before a round; by signs the Council.
func (w *world) replace(round uint32, out int, in protocol.Key, by []protocol.Key) protocol.SignedStatement {
	w.t.Helper()
	b := must(DeriveBLSKey(in))(w.t)
	set := slices.Delete(slices.Clone(w.council.Members), out, out+1)
	set = append(set, protocol.Aggregator{ID: in.ID(), BLS: b.Public(), Proof: must(b.Prove())(w.t), Addrs: []string{}})
	slices.SortFunc(set, func(x, y protocol.Aggregator) int { return bytes.Compare(x.ID[:], y.ID[:]) })
	s := w.sign(protocol.NewStatement(w.run, round, w.head(), protocol.NewCouncil{Aggregators: set, Threshold: 2, Control: protocol.Hash("order")}), by)
	w.append(LeafStatement, s)
	w.council = &protocol.Council{Run: w.run, Threshold: 2, Members: set}
	w.aggs[out], w.bls[out] = in, b
	at := make([]int, len(w.aggs))
	for i := range at {
		at[i] = i
	}
	slices.SortFunc(at, func(i, j int) int { x, y := w.aggs[i].ID(), w.aggs[j].ID(); return bytes.Compare(x[:], y[:]) })
	aggs, bls := slices.Clone(w.aggs), slices.Clone(w.bls)
	for i, j := range at {
		w.aggs[i], w.bls[i] = aggs[j], bls[j]
	}
	return s
}

// changing is a run whose set changes before round 1, before round 2 (by two steps) and after it: the contribution is
// round 2's, the checkpoint the last set's.
func changing(t testing.TB, by func(w *world) []protocol.Key) (*world, *contribution, Proof) {
	w := newWorld(t, 40, "segment", "sparse", 1)
	newcomers := keys("newcomer", 4)
	w.round(0, 6)
	councils := []protocol.SignedStatement{w.replace(1, 0, newcomers[0], by(w))}
	previous := w.round(1, 6)[0]
	councils = append(councils, w.replace(2, 1, newcomers[1], w.aggs[:2]), w.replace(2, 2, newcomers[2], w.aggs[1:]))
	c := w.round(2, 6)[0]
	rec := c.checked()
	councils = append(councils, w.replace(3, 0, newcomers[3], w.aggs[:2]))
	p := c.material(rec)
	p.Councils = councils
	size, root := w.log.Size(), must(w.log.Root(w.log.Size()))(t)
	note := func(k protocol.Key) []byte { return must(SignCheckpoint(k, w.run, size, root))(t) }
	p.Checkpoint = must(MergeCheckpoints(w.council, note(newcomers[3]), note(w.aggs[0])))(t) // by the last set alone
	p.Previous = []protocol.SignedStatement{previous.statement(protocol.KindRevealSet), previous.statement(protocol.KindCertificate)}
	return w, c, p
}

func oldSet(w *world) []protocol.Key { return w.aggs[:2] }

// A proof across changes of the set carries the Council statements, and audits to the same depth as any.
func TestChangedProof(t *testing.T) {
	w, _, material := changing(t, oldSet)
	p := must(Build(t.Context(), material, w.log))(t)
	report, err := Audit(t.Context(), w.reread(p), w.options())
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := report.WriteText(&text); err != nil || report.Level != L3.String() {
		t.Fatalf("%v\n%s", err, text.String())
	}
	if !strings.Contains(text.String(), "4 changes of the aggregators, each signed by the quorum of the set before") {
		t.Errorf("the report does not tell of the changes:\n%s", text.String())
	}
	if data := must(p.Encode())(t); !bytes.HasPrefix(data, []byte(changed)) {
		t.Errorf("file begins with %q", data[:len(changed)])
	}
}

// A change that the set before did not sign by its quorum, that is left out, in another order, or not of the rule, is refused.
func TestChangedProofRefuses(t *testing.T) {
	w, _, material := changing(t, oldSet)
	good := must(Build(t.Context(), material, w.log))(t)
	for name, tt := range map[string]struct {
		change func(c []protocol.SignedStatement) []protocol.SignedStatement
		part   string
	}{
		"none":             {func(c []protocol.SignedStatement) []protocol.SignedStatement { return nil }, "L0: statement chain"},
		"the first absent": {func(c []protocol.SignedStatement) []protocol.SignedStatement { return c[1:] }, "L0: Councils"},
		"one of two before the round absent": {func(c []protocol.SignedStatement) []protocol.SignedStatement {
			return append(slices.Clone(c[:2]), c[3])
		}, "L0: Councils"},
		"the last absent": {func(c []protocol.SignedStatement) []protocol.SignedStatement { return c[:3] }, "L0: checkpoint"},
		"unordered": {func(c []protocol.SignedStatement) []protocol.SignedStatement {
			return []protocol.SignedStatement{c[1], c[0], c[2], c[3]}
		}, "L0: Councils"},
		"a signature short": {func(c []protocol.SignedStatement) []protocol.SignedStatement {
			c[0].Sigs = c[0].Sigs[:1]
			return c
		}, "L0: Councils"},
		"another kind": {func(c []protocol.SignedStatement) []protocol.SignedStatement {
			return append(c[:4:4], good.Open)
		}, "L0: Councils"},
		"too many": {func(c []protocol.SignedStatement) []protocol.SignedStatement {
			return slices.Repeat(c[3:], maxCouncils+1)
		}, "L0: Councils"},
	} {
		p := *good
		p.Councils = tt.change(slices.Clone(good.Councils))
		_, err := Audit(t.Context(), w.reread(&p), w.options())
		if got := failurePart(err); got != tt.part {
			t.Errorf("%s: %v, want a failure of %q", name, err, tt.part)
		}
	}
	// The newcomer and one of the old set are two, the threshold, but not of the set before.
	w, _, material = changing(t, func(w *world) []protocol.Key { return []protocol.Key{w.aggs[1], keys("newcomer", 4)[0]} })
	if _, err := Build(t.Context(), material, w.log); failurePart(err) != "L0: Councils" {
		t.Errorf("signed by the new set: %v", err)
	}
}

// No byte of a file of version 2 changes unnoticed.
func TestEveryByteOfAChangedProof(t *testing.T) {
	w, _, material := changing(t, oldSet)
	data := must(must(Build(t.Context(), material, w.log))(t).Encode())(t)
	cut := len(data) - sha256.Size
	step := 61
	if *every {
		step = 1
	}
	for i := 0; i < cut; i += step {
		bad := bytes.Clone(data)
		bad[i] ^= 1 << (i % 8)
		sum := sha256.Sum256(bad[:cut])
		copy(bad[cut:], sum[:])
		if f, err := DecodeProof(bad); err == nil {
			if _, err = Audit(context.Background(), f, Options{}); failurePart(err) == "" {
				t.Fatalf("byte %d of %d flipped: %v", i, len(data), err)
			}
		}
	}
	plain := must(DecodeProof(data))(t).Proof
	body := must(protocol.Encode(changedProof{Proof: plain, Councils: []protocol.SignedStatement{}}))(t)
	odd := append([]byte(changed), body...)
	sum := sha256.Sum256(odd)
	if _, err := DecodeProof(append(odd, sum[:]...)); err == nil {
		t.Error("version 2 without a Council has a second encoding")
	}
}

// TakeCheckpoint finds the set that signed, which may be older than the chain's last.
func TestTakeCheckpoint(t *testing.T) {
	w := newWorld(t, 40, "segment", "sparse", 1)
	w.round(0, 6)
	old, root := slices.Clone(w.aggs), must(w.log.Root(w.log.Size()))(t)
	size := w.log.Size()
	councils := []protocol.SignedStatement{w.replace(1, 0, keys("newcomer", 1)[0], w.aggs[:2])}
	notes := func(ks ...protocol.Key) (out [][]byte) {
		for _, k := range ks {
			out = append(out, must(SignCheckpoint(k, w.run, size, root))(t))
		}
		return out
	}
	gone := old[slices.IndexFunc(old, func(k protocol.Key) bool {
		return !slices.ContainsFunc(w.aggs, func(x protocol.Key) bool { return x.ID() == k.ID() })
	})]
	newcomer := keys("newcomer", 1)[0]
	stays := w.aggs[slices.IndexFunc(w.aggs, func(k protocol.Key) bool { return k.ID() != newcomer.ID() })]
	for name, tt := range map[string]struct {
		by   []protocol.Key
		want int // Councils kept, -1 for an error
	}{
		"the old set": {[]protocol.Key{gone, stays}, 0},
		"the new set": {[]protocol.Key{newcomer, stays}, 1},
		"neither":     {[]protocol.Key{gone, newcomer}, -1},
		"too few":     {[]protocol.Key{stays}, -1},
	} {
		p := Proof{Spec: must(protocol.Encode(w.spec))(t), Genesis: w.chain[0], Councils: councils}
		err := p.TakeCheckpoint(w.spec, notes(tt.by...)...)
		if (err != nil) != (tt.want < 0) || err == nil && len(p.Councils) != tt.want {
			t.Errorf("%s: %v, %d Councils", name, err, len(p.Councils))
		}
	}
}
