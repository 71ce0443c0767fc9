package main

import (
	"fmt"
	"strings"
)

// text is a row for people.
func text(r *Row) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-18s %-22s ", r.Name, r.Case)
	if r.Skipped != "" {
		fmt.Fprintf(&b, "SKIPPED: %s", r.Skipped)
		return b.String()
	}
	fmt.Fprintf(&b, "%s %s", number(r.Value), r.Unit)
	if s := spread(r.Stats); s != "" {
		fmt.Fprintf(&b, " (%s)", s)
	}
	if r.Other != nil {
		fmt.Fprintf(&b, "; %s %s; ratio %s", r.Other.What, withSpread(&r.Other.Stats), number(r.Ratio))
	}
	fmt.Fprintf(&b, "; target %s, met: %s", r.Target, r.Met)
	if r.Note != "" {
		fmt.Fprintf(&b, "; %s", r.Note)
	}
	if r.Busy > 0 {
		fmt.Fprintf(&b, "; BUSY MACHINE (%.0f %%)", 100*r.Busy)
	}
	return b.String()
}

// spread says how the runs behind a median lie; "" for one run or a value that does not vary.
func spread(s *Stats) string {
	if s.Runs < 2 {
		return ""
	}
	if s.Min == s.Max {
		return fmt.Sprintf("the same in %d runs", s.Runs)
	}
	return fmt.Sprintf("%s to %s in %d runs", number(s.Min), number(s.Max), s.Runs)
}

func withSpread(s *Stats) string {
	if sp := spread(s); sp != "" {
		return fmt.Sprintf("%s (%s)", number(s.Value), sp)
	}
	return number(s.Value)
}
