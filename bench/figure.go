package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Figure is one published figure and how it is measured.
type Figure struct {
	Name   string // as on the command line
	What   string // one line for people
	Unit   string // of Row.Value
	Target Target
	Needs  string        // what it takes beyond a processor; "" for nothing
	Limit  time.Duration // a measurement that takes longer is stopped; what it has until then stands
	// Measure returns at least one row, of which it fills Case, Stats, Other, Note and, if a busy machine changes the
	// value, Busy. It returns a skipped error if this machine lacks what the figure needs. Rows beside another error are
	// those that it had by then.
	Measure func(ctx context.Context, e *Env) ([]Row, error)
}

// Target is what a row is held to. The zero Target is none.
type Target struct {
	Of    string  // "value" or "ratio"
	Cmp   string  // "<", "<=" or ">="
	Bound float64 // in the figure's unit, or a ratio
}

// String writes the target as in "< 180" or "ratio < 1".
func (t Target) String() string {
	switch t.Of {
	case "":
		return "none"
	case "ratio":
		return "ratio " + t.Cmp + " " + number(t.Bound)
	default:
		return t.Cmp + " " + number(t.Bound)
	}
}

// met says "yes", "no" or, without a target or a value, "none".
func (t Target) met(r *Row) string {
	if t.Of == "" || r.Stats == nil {
		return "none"
	}
	x := r.Value
	if t.Of == "ratio" {
		x = r.Ratio
	}
	if t.Cmp == "<" && x < t.Bound || t.Cmp == "<=" && x <= t.Bound || t.Cmp == ">=" && x >= t.Bound {
		return "yes"
	}
	return "no"
}

// Stats sum up the runs of one measurement.
type Stats struct {
	Value float64 `json:"value"` // the median
	Min   float64 `json:"min"`
	Max   float64 `json:"max"`
	Runs  int     `json:"runs"`
}

// summary returns the Stats of at least one sample.
func summary(samples []float64) *Stats {
	s := slices.Sorted(slices.Values(samples))
	n := len(s)
	return &Stats{Value: (s[(n-1)/2] + s[n/2]) / 2, Min: s[0], Max: s[n-1], Runs: n}
}

// exactly is the Stats of a value that does not vary between runs.
func exactly(x float64, runs int) *Stats { return &Stats{x, x, x, runs} }

// Other is the other side of a comparison, in the unit of the row.
type Other struct {
	What string `json:"what"`
	Stats
}

// Row is one measured case of a figure. Stats is nil exactly if Skipped is not empty.
type Row struct {
	Name string `json:"name"`
	Case string `json:"case,omitempty"`
	*Stats
	Unit    string  `json:"unit"`
	Other   *Other  `json:"other,omitempty"`
	Ratio   float64 `json:"ratio,omitempty"` // Value / Other.Value
	Target  string  `json:"target"`
	Met     string  `json:"met"` // yes, no, none
	Note    string  `json:"note,omitempty"`
	Skipped string  `json:"skipped,omitempty"` // why there is no value
	Busy    float64 `json:"busy,omitempty"`    // share of the machine that other programs used meanwhile, if that disturbs
	Command string  `json:"command"`
	Machine Machine `json:"machine"`
}

// skipped is the error of a figure that this machine cannot measure. Its text is the reason.
type skipped string

func (s skipped) Error() string { return string(s) }

// measure measures one figure and completes its rows. If it fails there is a row that says so, and the error.
func (f *Figure) measure(ctx context.Context, e *Env) ([]Row, error) {
	limited, cancel := context.WithTimeout(ctx, f.Limit)
	defer cancel()
	rows, err := f.Measure(limited, e)
	var skip skipped
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: %w", f.Name, errors.Join(err, ctx.Err()))
	case errors.As(err, &skip):
		rows, err = append(rows, Row{Skipped: string(skip)}), nil
	case err != nil && limited.Err() != nil:
		rows, err = append(rows, Row{Skipped: fmt.Sprintf("stopped after %v, the limit", f.Limit)}), nil
	case err != nil:
		rows, err = append(rows, Row{Skipped: "failed: " + firstLine(err)}), fmt.Errorf("%s: %w", f.Name, err)
	case len(rows) == 0:
		return nil, fmt.Errorf("%s: measured nothing", f.Name)
	}
	for i := range rows {
		r := &rows[i]
		r.Name, r.Unit, r.Target, r.Machine = f.Name, f.Unit, f.Target.String(), e.Machine
		r.Command = "go run ./bench run " + f.Name
		if r.Other != nil {
			r.Ratio = ratio(r.Value, r.Other.Value)
		}
		r.Met = f.Target.met(r)
	}
	return rows, err
}

// ratio is a/b, also where b is 0: then 1 for two zeros, else a number above all bounds, which JSON can hold.
func ratio(a, b float64) float64 {
	switch {
	case b != 0:
		return a / b
	case a == 0:
		return 1
	}
	return math.MaxFloat64
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// number writes x with four significant digits, without an exponent where people would not.
func number(x float64) string {
	if x >= 1000 || x <= -1000 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'g', 4, 64)
}
