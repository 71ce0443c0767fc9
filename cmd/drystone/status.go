package main

import (
	"context"
	"fmt"
	"io"
	"math/big"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"drystone/aggregate"
	"drystone/node"
	"drystone/protocol"
)

// How often status --watch asks and redraws, how long it waits for an answer, and how wide it draws where the width of the
// terminal is unknown.
const (
	askEvery     = 2 * time.Second
	redrawEvery  = time.Second
	answerWithin = 15 * time.Second
	plainWidth   = 160
)

type statusCmd struct {
	Link  string `arg:"" help:"Run link."`
	Watch bool   `help:"Go on until the run is over or interrupted: redraw on a terminal, elsewhere print a line for each change." short:"w"`
	JSON  bool   `help:"Print one JSON object; with --watch one a line for each change."`
}

// Run shows how a run stands. The statement chain is verified here; the rest is the word of one aggregator.
func (c *statusCmd) Run(ctx context.Context, t *terminal) error {
	client, err := dial(ctx, t, c.Link)
	if err != nil {
		return err
	}
	defer client.Close()
	if c.Watch {
		return c.watch(ctx, t, client)
	}
	told := time.Now()
	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, s)
	}
	_, err = io.WriteString(t.out, drawStatus(client, s, time.Since(told), plainWidth))
	return err
}

// answer is what one attempt to ask came back with.
type answer struct {
	s   *node.Status
	at  time.Time // when it was asked for: what it says may be as old
	err error
}

// watch asks in one goroutine and draws in this one, so that an aggregator that is slow to answer shows as growing age.
func (c *statusCmd) watch(ctx context.Context, t *terminal, client *node.Client) error {
	ctx, cancel := context.WithCancel(ctx)
	answers, ended := make(chan answer), make(chan struct{})
	defer func() { cancel(); <-ended }()
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			a := askStatus(ctx, client)
			select {
			case answers <- a:
			case <-ctx.Done():
			}
			select {
			case <-time.After(askEvery):
			case <-ctx.Done():
			}
		}
	}()
	redraw := time.NewTicker(redrawEvery)
	defer redraw.Stop()
	var last answer
	var said string
	for {
		select {
		case a := <-answers:
			if a.err == nil {
				last = a
			}
			last.err = a.err
		case <-redraw.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := c.show(t, client, &last, &said); err != nil {
			return err
		}
		if last.err == nil && last.s != nil && last.s.View.Phase == aggregate.PhaseFinished {
			return nil
		}
	}
}

func askStatus(ctx context.Context, client *node.Client) answer {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	a := answer{at: time.Now()}
	if a.err = client.Refresh(ctx); a.err == nil {
		a.s, a.err = client.Status(ctx)
	}
	return a
}

// show draws the last answer on a terminal; elsewhere it says what changed since said.
func (c *statusCmd) show(t *terminal, client *node.Client, last *answer, said *string) error {
	if f, ok := t.out.(*os.File); ok && isTerminal(t.out) && !c.JSON {
		width, height, err := term.GetSize(int(f.Fd()))
		if err != nil || width < 20 || height < 4 {
			width, height = 80, 24
		}
		text := "asking the run\n"
		if last.s != nil {
			text = drawStatus(client, last.s, time.Since(last.at), width)
		}
		if last.err != nil {
			text = clipLine("no answer: "+oneLine(last.err), width) + "\n" + text
		}
		_, err = io.WriteString(t.out, inPlace(firstLines(text, height-1), *said == ""))
		*said = text
		return err
	}
	line := ""
	switch {
	case last.err != nil:
		line = "no answer: " + oneLine(last.err)
	case last.s != nil:
		line = summary(last.s)
	}
	if line == "" || line == *said {
		return nil
	}
	*said = line
	if c.JSON && last.err == nil {
		return jsonLine(t.out, last.s)
	}
	_, err := fmt.Fprintln(t.out, line)
	return err
}

// summary is one line that changes when something happens.
func summary(s *node.Status) string {
	counts := map[string]int{}
	for _, p := range s.Peers {
		counts[p.State]++
	}
	var states []string
	for state, n := range counts {
		states = append(states, fmt.Sprintf("%d %s", n, state))
	}
	slices.Sort(states)
	return fmt.Sprintf("round %d of %d  %s  leader %s  %d of %d aggregators up  %s  %d epochs settled", s.View.Round, total(s), phaseText(s), leaderText(s),
		len(s.Up), len(s.View.Aggregators), strings.Join(states, ", "), s.View.Settled)
}

func total(s *node.Status) uint32 {
	if s.View.Total > 0 || s.View.Ended {
		return s.View.Total
	}
	return s.Rounds
}

func leaderText(s *node.Status) string {
	if s.Leader == nil {
		return "none"
	}
	return s.Leader.Short()
}

// phaseText names the phase, and what the founder has ordered.
func phaseText(s *node.Status) string {
	text := s.View.Phase.String()
	if s.View.Phase == aggregate.PhasePaused {
		text = "paused by the founder"
	} else if s.View.Pause != nil {
		text += ", to be paused by the founder after it"
	}
	if s.View.Ended {
		text += ", ended by the founder"
	} else if s.View.Stop != nil {
		text += ", to be ended by the founder"
	}
	if s.View.Change != nil {
		text += ", aggregators change"
	}
	return text
}

// orders tells the founder's orders that are in force or pending, by their numbers.
func orders(v *aggregate.View) (lines []string) {
	if o := v.Pause; o != nil {
		lines = append(lines, fmt.Sprintf("pause, number %d of the founder: no further round opens until resume", o.Body.Nonce))
	}
	if o := v.Stop; o != nil {
		lines = append(lines, fmt.Sprintf("stop, number %d of the founder: no further round opens", o.Body.Nonce))
	}
	if o := v.Change; o != nil {
		who := ""
		for i := range o.Body.Add {
			who += " +" + o.Body.Add[i].Body.Aggregator.ID.Short()
		}
		for _, id := range o.Body.Remove {
			who += " -" + id.Short()
		}
		lines = append(lines, fmt.Sprintf("%s%s, number %d of the founder: pending until earlier checks and payments have ended", o.Body.Action, who, o.Body.Nonce))
	}
	return lines
}

// verifiedRun is what is known of a run without anyone's word: node.Client is one.
type verifiedRun interface {
	Spec() *protocol.RunSpec
	Council() *protocol.Council
	Rounds() uint32
	Few() string
}

// drawStatus lays the status out, no line longer than width.
func drawStatus(run verifiedRun, s *node.Status, age time.Duration, width int) string {
	var b strings.Builder
	line := func(format string, args ...any) { b.WriteString(clipLine(fmt.Sprintf(format, args...), width) + "\n") }
	council := run.Council()
	line("run      %s  %s", s.Run, s.Name)
	q := council.Quorum()
	if text := node.CrashOnly(q); text != "" {
		line("quorum   %s", text)
	} else {
		line("quorum   %d of %d aggregators sign: outvotes %d that lie, goes on without %d", q.Threshold, q.Aggregators, q.Faults(), q.Aggregators-q.Threshold)
	}
	line("verified %d rounds certified, each by %d of %d aggregators; what follows is as told by %s, %.0f seconds ago", run.Rounds(),
		council.Threshold, len(council.Members), s.Teller.Short(), age.Seconds())
	line("phase    %s for %.0f s, round %d of %d, leader %s", phaseText(s), s.InPhase, s.View.Round, total(s), leaderText(s))
	for _, order := range orders(&s.View) {
		line("order    %s", order)
	}
	if text := run.Few(); text != "" {
		line("few      %s", text)
	}
	line("settled  %s", money(run.Spec(), s))
	checkpoint := "no checkpoint yet"
	if c := s.View.Checkpoint; c != nil {
		checkpoint = fmt.Sprintf("checkpoint at %d cosigned by %d", c.Size, len(c.Notes))
	}
	line("log      %d leaves, %s", s.View.LogSize, checkpoint)
	if n := len(s.View.Evidence); n > 0 {
		line("evidence %d entries in the log, the latest:", n)
	}
	for _, e := range s.View.Evidence[max(0, len(s.View.Evidence)-3):] {
		line("  %s, round %d: %s", e.Kind, e.Round, e.Who)
	}
	if s.Network.Trouble != "" {
		line("network  %s", s.Network.Trouble)
	}
	drawTimings(line, s.Timings, unitOf(run.Spec()))
	line("aggregators")
	for _, a := range s.View.Aggregators {
		state := "away"
		if slices.Contains(s.Up, a.ID) {
			state = "up"
		}
		if a.Away {
			state += ", late"
		}
		if s.Leader != nil && *s.Leader == a.ID {
			state += ", leader"
		}
		line("  %s  %-16s %d checks, %d faults", a.ID, state, a.Checks, a.Faults)
	}
	line("peers    %d", len(s.Peers))
	for _, p := range s.Peers {
		share := ""
		if p.Shards > 0 {
			share = fmt.Sprintf("  %d shards", p.Shards)
		}
		line("  %s  %-10s %10d %s in %d rounds%s", p.ID, p.State, p.Tokens, unitOf(run.Spec()), p.Rounds, share)
	}
	return b.String()
}

// money says what of the budget is settled, and what becomes of the rest.
func money(spec *protocol.RunSpec, s *node.Status) string {
	earned := new(big.Int)
	if e := s.View.LastSettled; e != nil {
		earned = e.Settlement.Total.Big()
	}
	rest := "what is not earned goes back to the founder at the end"
	if s.Returned {
		rest = "the rest is back at the founder's account"
	} else if s.View.Phase >= aggregate.PhaseDraining {
		rest = "the rest goes back to the founder once all is settled and enough aggregators have declared the run over"
	}
	return fmt.Sprintf("%d epochs; %s of %d %s earned, %s", s.View.Settled, tokens(earned), spec.Payout.Budget, spec.Payout.Symbol, rest)
}

// drawTimings shows the latest rounds phase by phase, with the median, and the speed over them.
func drawTimings(line func(string, ...any), rounds []node.RoundTiming, unit string) {
	if len(rounds) == 0 {
		line("timing   no whole round seen yet")
		return
	}
	var tokens uint64
	var seconds float64
	for _, r := range rounds {
		tokens, seconds = tokens+r.Tokens, seconds+r.Total()
	}
	line("timing   %.0f %s/s over the last %d rounds; seconds by phase:", float64(tokens)/max(seconds, 1e-3), unit, len(rounds))
	phases := []aggregate.Phase{aggregate.PhaseWaiting, aggregate.PhaseOpening, aggregate.PhaseTrain, aggregate.PhaseFreezing,
		aggregate.PhaseReveal, aggregate.PhaseRevealing, aggregate.PhaseMerge}
	head := "  round   "
	for _, p := range phases {
		head += fmt.Sprintf("%10s", p)
	}
	line("%s%10s", head, "total")
	row := func(name string, of func(phase string) float64, total float64) {
		text := fmt.Sprintf("  %-8s", name)
		for _, p := range phases {
			text += fmt.Sprintf("%10.1f", of(p.String()))
		}
		line("%s%10.1f", text, total)
	}
	for _, r := range rounds[max(0, len(rounds)-5):] {
		row(fmt.Sprint(r.Round), func(p string) float64 { return r.Seconds[p] }, r.Total())
	}
	row("median", func(p string) float64 {
		return medianOf(rounds, func(r node.RoundTiming) float64 { return r.Seconds[p] })
	}, medianOf(rounds, node.RoundTiming.Total))
}

func medianOf(rounds []node.RoundTiming, of func(node.RoundTiming) float64) float64 {
	var xs []float64
	for _, r := range rounds {
		xs = append(xs, of(r))
	}
	slices.Sort(xs)
	return (xs[(len(xs)-1)/2] + xs[len(xs)/2]) / 2
}

// clipLine cuts a line to width columns, and takes out what could move the cursor: an aggregator chose some of it.
func clipLine(text string, width int) string {
	r := []rune(printable([]byte(text)))
	return string(r[:min(len(r), max(width-1, 1))])
}

// firstLines cuts a text to n lines, of which the last then says how many are missing.
func firstLines(text string, n int) string {
	lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) <= n {
		return text
	}
	n = max(n, 1)
	return strings.Join(lines[:n-1], "") + fmt.Sprintf("... %d more lines\n", len(lines)-n+1)
}

// inPlace writes a text over what a terminal shows, line by line so that nothing flickers. The first one clears it all.
func inPlace(text string, first bool) string {
	start := "\x1b[H"
	if first {
		start += "\x1b[2J"
	}
	return start + strings.ReplaceAll(text, "\n", "\x1b[K\r\n") + "\x1b[J"
}
