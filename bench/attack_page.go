package main

import (
	"bytes"
	"fmt"
	"strings"

	"drystone/internal/simtest/attack"
)

const robustnessHead = `# Robustness of the merge

What liars among the contributors do to a model, rule by rule, when nothing but the merge stands in their way: spot checks
are off, nobody is convicted, every lie is merged as the rule decides. ` + "`go run ./bench run attack-table --publish`" + ` plays all
games again and writes this page; a game is a function of its seed. In a run most of these lies are found by replay, and
their authors leave the roster: this page says what a lie can do until then.

Set-up: %d contributors train a Llama of %d parameters (%d layer of %d) for %d rounds of %d steps on
%s,
with codec %s and outer optimiser %s at rate %g. The liars come first in the order of the merge, where ties favour
them, and see every honest update of the round before they choose theirs, which commit before reveal rules out in a run. A cell
is the held-out loss over that of the mean without liars with the same seed: the median of %d seeds, whose clean loss is
%s nats per byte. %d stands for a model that is no longer finite, or worse. Cells above 1.03 are bold.

Rules that ask for the number of liars are told %d, whatever it is. Settings of a run spec:

`

// page is docs/robustness.md.
func (d *attackDesign) page(m Machine, t *attackResults) []byte {
	var b bytes.Buffer
	s := d.spec(1)
	faults := uint32(0)
	for _, r := range d.rules {
		faults = max(faults, r.spec.Faults)
	}
	fmt.Fprintf(&b, robustnessHead, d.contributors, d.params, s.Model.Layers, s.Model.Dim, s.Train.Rounds, s.Train.Steps, d.source,
		s.Codec.Up, s.Outer.Optimiser, s.Outer.LR, d.seeds, withSpread(summary(t.clean)), lossCap, faults)
	for _, r := range d.rules {
		fmt.Fprintf(&b, "- %s: `rule = %q`", r.name, r.spec.Rule)
		if r.spec.NormCap > 0 {
			fmt.Fprintf(&b, ", `norm_cap = %g`", r.spec.NormCap)
		}
		if r.spec.Faults > 0 {
			fmt.Fprintf(&b, ", `faults = %d`", r.spec.Faults)
		}
		if r.spec.Radius > 0 {
			fmt.Fprintf(&b, ", `radius = %g`", r.spec.Radius)
		}
		if r.spec.Mixing {
			b.WriteString(", `mixing = true`")
		}
		b.WriteString("\n")
	}
	d.wideTable(&b, t)
	d.deepTables(&b, t)
	d.misses(&b, t)
	d.traps(&b, t)
	b.WriteString("\n## The attacks\n\nEach is one file of `internal/simtest/attack`. An adaptive one, marked *, is made to measure from the honest updates.\n\n")
	for _, a := range d.attacks {
		fmt.Fprintf(&b, "- `%s`%s: %s", a.Name, star(a), a.What)
		if a.After != "" {
			fmt.Fprintf(&b, " (%s)", a.After)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\n## The design\n\nA part of all cases: every attack on every rule with %s liars, and on %s with %s as well, and\nevery rule once without liars; each with %d seeds, %d games in all. Measured on: %s.\n",
		numbers(d.wide), strings.Join(d.deepNames(), " and on "), numbers(d.deep), d.seeds, d.count(), m)
	return b.Bytes()
}

func (d *attackDesign) deepNames() (names []string) {
	for _, r := range d.rules {
		if r.deep {
			names = append(names, r.name)
		}
	}
	return names
}

func numbers(n []int) string { return strings.Trim(strings.ReplaceAll(fmt.Sprint(n), " ", ", "), "[]") }

func star(a attack.Attack) string {
	if a.Adaptive {
		return " *"
	}
	return ""
}

// cell is the median ratio of a game, or nothing if it was not played.
func (t *attackResults) cell(g game) string {
	if len(t.ratio[g]) == 0 {
		return ""
	}
	text := number(summary(t.ratio[g]).Value)
	if summary(t.ratio[g]).Value > 1.03 {
		return "**" + text + "**"
	}
	return text
}

// wideTable has a row per attack and a column per rule.
func (d *attackDesign) wideTable(b *bytes.Buffer, t *attackResults) {
	for _, n := range d.wide {
		fmt.Fprintf(b, "\n## %d liars of %d, every rule\n\n| attack |", n, d.contributors)
		none := "| none |"
		for _, r := range d.rules {
			fmt.Fprintf(b, " %s |", r.name)
			none += " " + t.cell(game{rule: r.name}) + " |"
		}
		fmt.Fprintf(b, "\n|---|%s\n%s\n", strings.Repeat("---|", len(d.rules)), none)
		for _, a := range d.attacks {
			fmt.Fprintf(b, "| %s%s |", a.Name, star(a))
			for _, r := range d.rules {
				fmt.Fprintf(b, " %s |", t.cell(game{r.name, a.Name, n}))
			}
			b.WriteString("\n")
		}
	}
}

// deepTables have a row per attack and a column per number of liars, and beside each the liars' part of the weight.
func (d *attackDesign) deepTables(b *bytes.Buffer, t *attackResults) {
	for _, r := range d.rules {
		if !r.deep {
			continue
		}
		fmt.Fprintf(b, "\n## %s, by the number of liars\n\nIn brackets the liars' part of the weight.\n\n| attack |", r.name)
		for _, n := range d.liars(r) {
			fmt.Fprintf(b, " %d |", n)
		}
		fmt.Fprintf(b, "\n|---|%s\n", strings.Repeat("---|", len(d.liars(r))))
		for _, a := range d.attacks {
			fmt.Fprintf(b, "| %s%s |", a.Name, star(a))
			for _, n := range d.liars(r) {
				g := game{r.name, a.Name, n}
				fmt.Fprintf(b, " %s (%.0f %%) |", t.cell(g), 100*summary(t.share[g]).Value)
			}
			b.WriteString("\n")
		}
	}
}

// misses says where the default rule does not reach its target.
func (d *attackDesign) misses(b *bytes.Buffer, t *attackResults) {
	fmt.Fprintf(b, "\n## Where %s falls short\n\nThe target: within 3 %% of the clean loss with up to 30 %% liars under every attack that is not adaptive. The list\nbelow has every game above that, also those that the target leaves out: adaptive attacks (*) and 40 %%.\n\n", defaultRule)
	missed := 0
	for _, r := range d.rules {
		if r.name != defaultRule {
			continue
		}
		for _, g := range d.games(r) {
			if m := summary(t.ratio[g]).Value; m > 1.03 {
				missed++
				if g.liars == 0 {
					fmt.Fprintf(b, "- without liars: %s\n", number(m))
					continue
				}
				fmt.Fprintf(b, "- %s with %d liars: %s\n", g.attack, g.liars, number(m))
			}
		}
	}
	if missed == 0 {
		b.WriteString("Nowhere in this table, adaptive attacks and 40 % included.\n")
	}
}

// traps says how often the backdoor opens.
func (d *attackDesign) traps(b *bytes.Buffer, t *attackResults) {
	b.WriteString("\n## The backdoor\n\nA backdoor need not cost held-out loss. How often the model goes on as the liars taught it, after text and their trigger:\n\n| rule |")
	var most []int
	for _, r := range d.rules {
		if n := d.liars(r); len(n) > len(most) {
			most = n
		}
	}
	for _, n := range most {
		fmt.Fprintf(b, " %d liars |", n)
	}
	fmt.Fprintf(b, "\n|---|%s\n", strings.Repeat("---|", len(most)))
	for _, r := range d.rules {
		fmt.Fprintf(b, "| %s |", r.name)
		for _, n := range most {
			if x := t.trap[game{r.name, "backdoor", n}]; len(x) > 0 {
				fmt.Fprintf(b, " %.0f %% |", 100*summary(x).Value)
			} else {
				b.WriteString(" |")
			}
		}
		b.WriteString("\n")
	}
}
