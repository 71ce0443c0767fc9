package main

import (
	"bytes"
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
		fmt.Fprintf(&b, "; %s %s; ratio %s", r.Other.What, side(&r.Other.Stats), number(r.Ratio))
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

func side(s *Stats) string {
	if sp := spread(s); sp != "" {
		return fmt.Sprintf("%s (%s)", number(s.Value), sp)
	}
	return number(s.Value)
}

const pageHead = `# Figures

Every figure that this project publishes. ` + "`go run ./bench run all`" + ` measures them and writes this page; the command
in a row measures that row again on your machine. Values are medians, with the least and the greatest of the runs. The
ratio of a comparison is value over other side; the sides took turns. What a name means: ` + "`go run ./bench list`" + `.

Measured on: %s.

| figure | case | value | unit | target | met | other side | ratio | command |
|---|---|---|---|---|---|---|---|---|
`

// page is docs/figures.md. It holds no value that was measured on a busy machine.
func page(m Machine, rows []Row) []byte {
	var b, notes bytes.Buffer
	fmt.Fprintf(&b, pageHead, m)
	for i := range rows {
		r := &rows[i]
		value, other, ratio := "not measured here: "+r.Skipped, "", ""
		switch {
		case r.Busy > 0: // neither value nor ratio would be fair
			value = fmt.Sprintf("not measured here: other programs used %.0f %% of the machine meanwhile", 100*r.Busy)
		case r.Stats != nil:
			value = side(r.Stats)
		}
		if r.Other != nil && r.Busy == 0 {
			other, ratio = r.Other.What+": "+side(&r.Other.Stats), number(r.Ratio)
		}
		met := r.Met
		if r.Busy > 0 {
			met = "none"
		}
		cells := []string{r.Name, r.Case, value, r.Unit, r.Target, met, other, ratio, "`" + r.Command + "`"}
		for j, c := range cells {
			cells[j] = strings.ReplaceAll(c, "|", "/")
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
		if r.Note != "" {
			fmt.Fprintf(&notes, "- %s: %s\n", strings.TrimSpace(r.Name+" "+r.Case), r.Note)
		}
	}
	if notes.Len() > 0 {
		fmt.Fprintf(&b, "\nNotes:\n\n%s", notes.Bytes())
	}
	return b.Bytes()
}
