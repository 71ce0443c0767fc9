package verify

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"drystone/protocol"
)

// Level is how deep an audit goes.
type Level int

// Levels of an audit, each on top of the one before.
const (
	L0 Level = iota // signatures and inclusion
	L1              // challenge derivation
	L2              // replay
	L3              // merge recomputed
	L4              // payout matches the chain
)

var levelTitles = [...]string{"signatures and inclusion", "challenge derivation", "replay", "merge", "payout"}

// String returns "L0" to "L4".
func (l Level) String() string { return fmt.Sprintf("L%d", int(l)) }

// Failure is what an audit found wrong: the part of the proof that broke, at the level that noticed.
type Failure struct {
	Level Level
	Part  string
	Err   error
}

// Error names level, part and cause.
func (f *Failure) Error() string { return fmt.Sprintf("%s: %s: %v", f.Level, f.Part, f.Err) }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Status of a level in a Report.
const (
	StatusPassed     = "passed"
	StatusPartly     = "partly checked"
	StatusFailed     = "failed"
	StatusNotChecked = "not checked"
)

// Standing of a contribution in a Report, by the verdicts in the proof.
const (
	StandingPassed    = "passed its checks"
	StandingRefuted   = "refuted"
	StandingWithheld  = "withheld from its check" // which costs the pay of the round, or convicts if it was not the first time
	StandingDisputed  = "disputed"
	StandingUnchecked = "not checked by any verifier"
	StandingUnknown   = "unknown"
)

// LevelReport is the result of one level.
type LevelReport struct {
	Level  string   `json:"level"`
	Title  string   `json:"title"`
	Status string   `json:"status"`
	Notes  []string `json:"notes"` // what was checked, and what of this level was not
}

// Coverage is how much of a contribution the checks, and this audit, looked at.
type Coverage struct {
	Steps         uint32 `json:"steps"`          // inner steps committed
	DrawnSteps    uint32 `json:"drawn_steps"`    // in segments that a draw chose
	ReplayedSteps uint32 `json:"replayed_steps"` // by this audit, from the public parameters
	Chunks        uint32 `json:"chunks"`         // codec chunks of the payload
	DrawnChunks   uint32 `json:"drawn_chunks"`
	CheckedChunks uint32 `json:"checked_chunks"` // encoded again by this audit
}

// Report is the result of an audit. The JSON names are stable.
type Report struct {
	Run        protocol.Digest  `json:"run"`
	Pinned     bool             `json:"pinned"` // the auditor brought the RunID
	Name       string           `json:"name"`
	Round      uint32           `json:"round"`
	Peer       protocol.PeerID  `json:"peer"`
	Payout     protocol.Address `json:"payout"`
	Shards     int              `json:"shards,omitempty"` // of the model, for a contribution to a part of them
	Owed       int              `json:"owed,omitempty"`   // of them the contribution had to train
	Tokens     uint64           `json:"tokens"`           // training tokens claimed: steps x tokens per step x share of parameters trained
	Level      string           `json:"level"`            // the highest level passed with all below it; "none"
	Standing   string           `json:"standing"`
	Coverage   Coverage         `json:"coverage"`
	Levels     []LevelReport    `json:"levels"`
	NotChecked []string         `json:"not_checked"`
	Failure    string           `json:"failure,omitempty"`
}

func newReport() *Report {
	r := &Report{Level: "none", Standing: StandingUnknown, NotChecked: []string{}}
	for l, title := range levelTitles {
		r.Levels = append(r.Levels, LevelReport{Level: Level(l).String(), Title: title, Status: StatusNotChecked, Notes: []string{}})
	}
	return r
}

func (r *Report) note(l Level, format string, args ...any) {
	r.Levels[l].Notes = append(r.Levels[l].Notes, fmt.Sprintf(format, args...))
}

func (r *Report) skip(l Level, format string, args ...any) {
	r.NotChecked = append(r.NotChecked, l.String()+": "+fmt.Sprintf(format, args...))
}

// settle computes Level from the levels' statuses.
func (r *Report) settle() {
	r.Level = "none"
	for _, l := range r.Levels {
		if l.Status != StatusPassed {
			return
		}
		r.Level = l.Level
	}
}

// JSON returns the report as indented JSON.
func (r *Report) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return append(b, '\n'), nil
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	if r.Pinned {
		fmt.Fprintf(&b, "run           %s (%q), the one asked for\n", r.Run, r.Name)
	} else {
		fmt.Fprintf(&b, "UNPINNED: a whole forged run is consistent with itself. Name the run to be sure.\nrun           %s (%q), as the proof names it\n", r.Run, r.Name)
	}
	c := r.Coverage
	fmt.Fprintf(&b, "contribution  round %d by %s, %d steps, %d tokens\n", r.Round, r.Peer, c.Steps, r.Tokens)
	if r.Owed > 0 {
		fmt.Fprintf(&b, "trained       %d of %d shards, as the round assigned\n", r.Owed, r.Shards)
	}
	fmt.Fprintf(&b, "pays          %s\n", r.Payout)
	fmt.Fprintf(&b, "standing      %s\n", r.Standing)
	fmt.Fprintf(&b, "drawn         %d of %d steps (%s), %d of %d codec chunks (%s)\n", c.DrawnSteps, c.Steps, percent(c.DrawnSteps, c.Steps), c.DrawnChunks, c.Chunks, percent(c.DrawnChunks, c.Chunks))
	fmt.Fprintf(&b, "redone here   %d of %d steps (%s), %d of %d codec chunks (%s)\n", c.ReplayedSteps, c.Steps, percent(c.ReplayedSteps, c.Steps), c.CheckedChunks, c.Chunks, percent(c.CheckedChunks, c.Chunks))
	fmt.Fprintf(&b, "level reached %s\n", r.Level)
	for _, l := range r.Levels {
		fmt.Fprintf(&b, "\n%s %s: %s\n", l.Level, l.Title, l.Status)
		for _, n := range l.Notes {
			fmt.Fprintf(&b, "   %s\n", n)
		}
	}
	if len(r.NotChecked) > 0 {
		b.WriteString("\nnot checked\n")
		for _, n := range r.NotChecked {
			fmt.Fprintf(&b, "   %s\n", n)
		}
	}
	if r.Failure != "" {
		fmt.Fprintf(&b, "\nFAILED  %s\n", r.Failure)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func percent(a, of uint32) string {
	if of == 0 {
		return "none"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(a)/float64(of))
}
