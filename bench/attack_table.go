package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"drystone/internal/simtest/arena"
	"drystone/internal/simtest/attack"
	"drystone/node"
)

var attackTable = Figure{
	Name:   "attack-table",
	What:   "held-out loss of a small model that trained among liars, over that of the same training without any: of each merge rule the worst of the attacks that are not adaptive, with up to 30 % liars among 20 contributors, spot checks off; all cases in docs/robustness.md",
	Unit:   "times the clean loss",
	Target: Target{Of: "value", Cmp: "<=", Bound: 1.03},
	Limit:  90 * time.Minute,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		text, found, err := node.LoadCorpus(nil)
		if err != nil {
			return nil, err
		}
		d := publishedDesign(text, found, e.Runs(3))
		out, err := e.playAttacks(ctx, d)
		if err != nil {
			return nil, err
		}
		e.pages["robustness.md"] = d.page(e.Machine, out)
		return d.rows(out), nil
	},
}

// lossCap stands for a loss that is no longer finite, or beyond all sense.
const lossCap = 1000

// game names one cell of the table. Without liars the attack has no name.
type game struct {
	rule, attack string
	liars        int
}

// attackResults holds what every game came to, one value per seed, in order of the seeds.
type attackResults struct {
	clean []float64 // loss of the mean without liars
	ratio map[game][]float64
	share map[game][]float64 // liars' part of the weight
	trap  map[game][]float64
}

// playAttacks plays every game of the design with every seed. It says what it is at after each rule.
func (e *Env) playAttacks(ctx context.Context, d *attackDesign) (*attackResults, error) {
	out := &attackResults{ratio: map[game][]float64{}, share: map[game][]float64{}, trap: map[game][]float64{}}
	began, played := time.Now(), 0
	for seed := range d.seeds {
		err := func() error {
			a, err := arena.New(d.spec(uint64(seed+1)), d.text, e.Threads)
			if err != nil {
				return err
			}
			defer a.Close()
			d.params = a.Params()
			for _, r := range d.rules {
				for _, g := range d.games(r) {
					if err := out.play(ctx, a, d, r, g); err != nil {
						return fmt.Errorf("seed %d, %s, %d liars of %s: %w", seed+1, g.rule, g.liars, g.attack, err)
					}
					played++
				}
				e.Say("seed %d of %d, %s: %d of %d games after %v", seed+1, d.seeds, r.name, played, d.count(), time.Since(began).Round(time.Second))
			}
			return nil
		}()
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// play plays one game and notes its result. The first game of a seed is the clean one.
func (t *attackResults) play(ctx context.Context, a *arena.Arena, d *attackDesign, r tableRule, g game) error {
	lie := attack.Attack{}
	for _, x := range d.attacks {
		if x.Name == g.attack {
			lie = x
		}
	}
	got, err := a.Play(ctx, arena.Game{Rule: r.spec, Outer: d.spec(1).Outer, Contributors: d.contributors, Liars: g.liars, Attack: lie})
	if err != nil {
		return err
	}
	if g.liars == 0 && g.rule == d.rules[0].name {
		t.clean = append(t.clean, got.Loss)
	}
	ratio := got.Loss / t.clean[len(t.clean)-1]
	if !(ratio < lossCap) {
		ratio = lossCap
	}
	t.ratio[g] = append(t.ratio[g], ratio)
	t.share[g] = append(t.share[g], got.Weight)
	t.trap[g] = append(t.trap[g], got.Trap)
	return nil
}

// worst returns the game of a rule with the largest median ratio among those that wanted picks; false if there is none.
func (t *attackResults) worst(d *attackDesign, rule tableRule, wanted func(a attack.Attack, liars int) bool) (worst game, found bool) {
	most := math.Inf(-1)
	for _, g := range d.games(rule) {
		for _, a := range d.attacks {
			if a.Name != g.attack || !wanted(a, g.liars) {
				continue
			}
			if m := summary(t.ratio[g]).Value; m > most {
				worst, most, found = g, m, true
			}
		}
	}
	return worst, found
}

// rows are the figure: one per rule.
func (d *attackDesign) rows(t *attackResults) (rows []Row) {
	few := func(liars int) bool { return 10*liars <= 3*d.contributors }
	for _, r := range d.rules {
		g, found := t.worst(d, r, func(a attack.Attack, liars int) bool { return !a.Adaptive && few(liars) })
		if !found {
			continue
		}
		note := fmt.Sprintf("the worst is %s with %d of %d", g.attack, g.liars, d.contributors)
		if bad, found := t.worst(d, r, func(a attack.Attack, liars int) bool { return a.Adaptive && few(liars) }); found {
			note += fmt.Sprintf("; of the adaptive ones %s with %d: %s", bad.attack, bad.liars, number(summary(t.ratio[bad]).Value))
		}
		if none := t.ratio[game{rule: r.name}]; none != nil {
			note += "; without liars " + number(summary(none).Value)
		}
		rows = append(rows, Row{Case: r.name, Stats: summary(t.ratio[g]), Note: note})
	}
	return rows
}
