package main

import (
	"bytes"
	"fmt"
	"math"
	"strings"
)

// parityPages writes docs/loss-parity.md with its chart and its data, of all arms and all seeds.
func (e *Env) parityPages(t *lossTrial, arms []arm, results [][]*result) {
	if len(results) == 0 || arms[0].Alone > 0 { // the page is that of loss-parity
		return
	}
	e.pages["loss-parity.csv"] = parityCSV(results)
	e.pages["loss-parity.svg"] = parityChart(arms, results[0])
	var b bytes.Buffer
	fmt.Fprintf(&b, `# Loss parity

Held-out loss, in nats per byte, of %s on %d tokens: %d workers, %d steps of %d tokens each, in rounds of %d steps unless an arm
says otherwise. Every arm has the same weights at the start, the same held-out text and the code that a run has: contributions, codec,
merge and outer optimiser, without the network. The text is %s;
of every %d files one is held out.
`+"`go run ./bench run loss-parity --state DIR --publish`"+` writes this page; [loss-parity.csv](loss-parity.csv) has the curves of all seeds.

![held-out loss over tokens, seed 1](loss-parity.svg)

| arm | what | seed | loss | against %s | payload up | payload down |
|---|---|---|---|---|---|---|
`, t.model.Name, t.tokens(), t.workers, t.steps, t.batch*t.model.Shape.Context, roundSteps, t.corpus.what, heldOut, arms[0].Name)
	for i, a := range arms {
		for _, of := range results {
			r := of[i]
			fmt.Fprintf(&b, "| %s | %s | %d | %.4f | %.4f | %.0f times less | %.0f times less |\n", a.Name, a.What, r.Seed, r.Loss, r.Loss/of[0].Loss, r.Up, r.Down)
		}
	}
	e.pages["loss-parity.md"] = b.Bytes()
}

// parityCSV has a line for every point.
func parityCSV(results [][]*result) []byte {
	var b bytes.Buffer
	b.WriteString("arm,seed,tokens,loss\n")
	for _, of := range results {
		for _, r := range of {
			for _, p := range r.Curve {
				fmt.Fprintf(&b, "%q,%d,%d,%.5f\n", r.Arm, r.Seed, p.Tokens, p.Loss)
			}
		}
	}
	return b.Bytes()
}

var chartColours = []string{"#1b6ca8", "#c1440e", "#3a7d44", "#7b4b94", "#8a6d1d", "#444444"}

// parityChart draws the curves of one seed, with the loss on a logarithmic scale.
func parityChart(arms []arm, results []*result) []byte {
	const width, height, left, top, right, bottom = 720, 420, 60, 20, 190, 45
	lo, hi, last := math.Inf(1), math.Inf(-1), uint64(1)
	for _, r := range results {
		for _, p := range r.Curve {
			lo, hi, last = min(lo, p.Loss), max(hi, p.Loss), max(last, p.Tokens)
		}
	}
	lo, hi = 0.98*lo, 1.02*hi
	x := func(tokens float64) float64 { return left + (width-left-right)*tokens/float64(last) }
	y := func(loss float64) float64 { return top + (height-top-bottom)*math.Log(hi/loss)/math.Log(hi/lo) }
	var b bytes.Buffer
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">\n", width, height)
	fmt.Fprintf(&b, "<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n", width, height)
	for i := range 6 {
		loss, tokens := lo*math.Pow(hi/lo, float64(i)/5), float64(last)*float64(i)/5
		fmt.Fprintf(&b, "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>\n", left, width-right, y(loss), y(loss))
		fmt.Fprintf(&b, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.2f</text>\n", left-6, y(loss)+4, loss)
		fmt.Fprintf(&b, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.1f</text>\n", x(tokens), height-bottom+18, tokens/1e6)
	}
	fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">million tokens; held-out loss in nats per byte</text>\n", (left+width-right)/2, height-8)
	for i, r := range results {
		var points []string
		for _, p := range r.Curve {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x(float64(p.Tokens)), y(p.Loss)))
		}
		colour := chartColours[i%len(chartColours)]
		fmt.Fprintf(&b, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" points=\"%s\"/>\n", colour, strings.Join(points, " "))
		fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" fill=\"%s\">%s</text>\n", width-right+10, top+16*(i+1), colour, arms[i].Name)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}
