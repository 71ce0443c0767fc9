package arena

import (
	"context"
	"math"
	"slices"
	"testing"

	"drystone/internal/delta"
	"drystone/internal/simtest/attack"
	"drystone/protocol"
)

// testText is a corpus from integers alone: words of a small vocabulary in an order with some structure.
func testText(n int) []byte {
	words := []string{"stone ", "wall ", "hand ", "without ", "mortar ", "the ", "holds ", "fits ", "push\n", "by "}
	var text []byte
	for x := uint32(1); len(text) < n; {
		x = x*1664525 + 1013904223
		text = append(text, words[(x>>16)%uint32(len(words))]...)
	}
	return text[:n]
}

func newArena(t *testing.T, threads int, edit func(*protocol.RunSpec)) *Arena {
	t.Helper()
	s := Spec(1)
	s.Train.Rounds, s.Train.Steps, s.Train.Segment = 5, 3, 3
	if edit != nil {
		edit(&s)
	}
	a, err := New(s, testText(8000), threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func find(t *testing.T, name string) attack.Attack {
	t.Helper()
	for _, a := range attack.All {
		if a.Name == name {
			return a
		}
	}
	t.Fatalf("no attack %q", name)
	return attack.Attack{}
}

var (
	sgd        = protocol.OuterSpec{Optimiser: "sgd", LR: 1}
	mean       = protocol.AggregateSpec{Rule: "mean"}
	robustRule = protocol.AggregateSpec{Rule: "centered-clip", NormCap: 3, Faults: 2, Radius: 1, Mixing: true}
)

func (a *Arena) mustPlay(t *testing.T, g Game) *Result {
	t.Helper()
	if g.Outer.Optimiser == "" {
		g.Outer = sgd
	}
	r, err := a.Play(context.Background(), g)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A game is a function of its seed, on any number of threads and whatever was played before.
func TestGamesRepeat(t *testing.T) {
	g := Game{Rule: robustRule, Outer: sgd, Contributors: 7, Liars: 2, Attack: find(t, "mimic")}
	one := newArena(t, 1, nil)
	want := one.mustPlay(t, g)
	two := newArena(t, 2, nil)
	two.mustPlay(t, Game{Rule: mean, Contributors: 3})
	if got := two.mustPlay(t, g); *got != *want {
		t.Errorf("%+v, and %+v on two threads", *want, *got)
	}
	other := newArena(t, 2, func(s *protocol.RunSpec) { s.Seed = 2 })
	if got := other.mustPlay(t, g); *got == *want {
		t.Error("another seed gave the same game")
	}
}

// Training among the honest learns; a reversal a thousand times over ruins the mean, and not the default rule.
func TestRulesDecide(t *testing.T) {
	a := newArena(t, 2, nil)
	clean := a.mustPlay(t, Game{Rule: mean, Contributors: 7})
	if clean.Loss > 4.5 || clean.Weight != 0 {
		t.Fatalf("clean: %+v, and a uniform guess has 5.5", *clean)
	}
	g := Game{Rule: mean, Contributors: 7, Liars: 2, Attack: find(t, "sign-flip-1000")}
	if r := a.mustPlay(t, g); r.Loss < 2*clean.Loss {
		t.Errorf("the mean withstood: %v, clean %v", r.Loss, clean.Loss)
	}
	g.Rule = robustRule
	if r := a.mustPlay(t, g); r.Loss > 1.1*clean.Loss || r.Weight > 0.01 {
		t.Errorf("under the robust rule: %+v, clean %v", *r, clean.Loss)
	}
}

// What is not finite has no weight under any rule, and a backdoor with all the weight shows.
func TestSpecialLies(t *testing.T) {
	a := newArena(t, 2, func(s *protocol.RunSpec) { s.Train.Rounds, s.Train.Steps, s.Train.Segment = 20, 5, 5 })
	for _, name := range []string{"nan", "infinity"} {
		for _, rule := range []protocol.AggregateSpec{mean, robustRule, {Rule: "median"}} {
			if r := a.mustPlay(t, Game{Rule: rule, Contributors: 7, Liars: 2, Attack: find(t, name)}); r.Weight != 0 || math.IsInf(r.Loss, 0) {
				t.Errorf("%s under %s: %+v", name, rule.Rule, *r)
			}
		}
	}
	g := Game{Rule: mean, Contributors: 7, Liars: 6, Attack: find(t, "backdoor")}
	if r := a.mustPlay(t, g); r.Trap < 0.5 {
		t.Errorf("six of seven taught a trap, which springs %v of the time", r.Trap)
	}
	g.Liars = 0
	if r := a.mustPlay(t, g); r.Trap > 0.1 {
		t.Errorf("an untaught trap springs %v of the time", r.Trap)
	}
}

// Every attack plays against every kind of rule and codec.
func TestEveryAttackPlays(t *testing.T) {
	for _, codec := range []protocol.CodecSpec{{Up: "dense", ShardParams: 4096}, {Up: "sparse", TopK: 256, ValueBits: 2, Decay: 0.95, ShardParams: 8192}} {
		a := newArena(t, 2, func(s *protocol.RunSpec) {
			s.Codec, s.Train.Rounds, s.Train.Steps, s.Train.Segment = codec, 2, 1, 1
		})
		for _, lie := range attack.All {
			r := a.mustPlay(t, Game{Rule: robustRule, Contributors: 7, Liars: 2, Attack: lie})
			if math.IsNaN(r.Loss) || r.Loss > 6 {
				t.Errorf("%s on %s: %+v", lie.Name, codec.Up, *r)
			}
		}
	}
}

// A lie that a codec takes arrives as it is, and what none takes is refused by the merge, not by the sender.
func TestEncode(t *testing.T) {
	a := newArena(t, 1, nil)
	p := &game{Arena: a, spec: *a.spec}
	u := slices.Repeat([]float32{0.5}, a.Params())
	if err := a.codec.Validate(p.encode(u)[0], 4096); err != nil {
		t.Error(err)
	}
	u[7] = float32(math.NaN())
	if err := a.codec.Validate(p.encode(u)[0], 4096); err == nil || len(p.encode(u)[0]) != a.codec.Size(4096) {
		t.Errorf("NaN: %v", err)
	}
	sparse, err := delta.New(protocol.CodecSpec{Up: "sparse", TopK: 64, ValueBits: 2})
	if err != nil {
		t.Fatal(err)
	}
	p.codec = sparse
	u[7] = float32(math.Inf(1))
	if err := sparse.Validate(p.encode(u)[0], 4096); err == nil {
		t.Error("a sparse payload of infinities is valid")
	}
}

// Games that no run spec allows are refused.
func TestPlayRefuses(t *testing.T) {
	a := newArena(t, 1, nil)
	for name, g := range map[string]Game{
		"too many liars to tell": {Rule: protocol.AggregateSpec{Rule: "trimmed-mean", Faults: 4}, Outer: sgd, Contributors: 8},
		"nobody honest":          {Rule: mean, Outer: sgd, Contributors: 3, Liars: 3, Attack: attack.All[0]},
		"no optimiser":           {Rule: mean, Contributors: 3},
	} {
		if _, err := a.Play(context.Background(), g); err == nil {
			t.Errorf("%s: played", name)
		}
	}
}
