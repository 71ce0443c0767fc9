package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const pageHead = `# Figures

Every figure that this project publishes. ` + "`go run ./bench run all`" + ` measures them in at most %v and writes this page;
the command below a heading measures that figure again on your machine, and ` + "`--publish`" + ` enters it here. Values are
medians, with the least and the greatest of the runs. The ratio of a comparison is value over other side; the sides took
turns. A row that other programs disturbed is measured again, and not published if they never left.

Measured on: %s.
`

// page is docs/figures.md: a section for each figure, in the order of the registry, from the rows that there are. It
// holds no value that was measured on a busy machine.
func page(figures []Figure, m Machine, rows []Row) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, pageHead, longest(figures), m)
	for _, f := range figures {
		fmt.Fprintf(&b, "\n## %s\n\n%s. Unit: %s. Target: %s.\n`go run ./bench run %s`\n\n", f.Name, strings.ToUpper(f.What[:1])+f.What[1:], f.Unit, f.Target, f.Name)
		var own []Row
		for _, r := range rows {
			if r.Name == f.Name {
				own = append(own, r)
			}
		}
		section(&b, m, own)
	}
	return b.Bytes()
}

// section writes the rows of one figure: a table of those that have values, a list of those that have none, notes.
func section(b *bytes.Buffer, m Machine, rows []Row) {
	if len(rows) == 0 {
		b.WriteString("Not measured yet.\n")
		return
	}
	if rows[0].Machine != m {
		fmt.Fprintf(b, "Measured on: %s.\n\n", rows[0].Machine)
	}
	var table, list []string
	for i := range rows {
		r := &rows[i]
		missing := r.Skipped
		if r.Busy > 0 { // neither value nor ratio would be fair
			missing = fmt.Sprintf("other programs used %.0f %% of the machine meanwhile", 100*r.Busy)
		}
		if missing != "" {
			list = append(list, fmt.Sprintf("- %s: not measured here: %s\n", caseOf(r), missing))
			continue
		}
		cells := []string{caseOf(r), withSpread(r.Stats), "", "", r.Met}
		if r.Other != nil {
			cells[2], cells[3] = r.Other.What+": "+withSpread(&r.Other.Stats), number(r.Ratio)
		}
		for j, c := range cells {
			cells[j] = strings.ReplaceAll(c, "|", "/")
		}
		table = append(table, "| "+strings.Join(cells, " | ")+" |\n")
		if r.Note != "" {
			list = append(list, fmt.Sprintf("- %s: %s\n", caseOf(r), r.Note))
		}
	}
	if len(table) > 0 {
		b.WriteString("| case | value | other side | ratio | met |\n|---|---|---|---|---|\n" + strings.Join(table, ""))
		if len(list) > 0 {
			b.WriteString("\n")
		}
	}
	b.WriteString(strings.Join(list, ""))
}

func caseOf(r *Row) string {
	if r.Case == "" {
		return "all"
	}
	return r.Case
}

// publish writes docs/figures.md, and docs/figures.json, from which it takes the rows of figures that are not among
// those measured.
func (e *Env) publish(measured []Row) error {
	data := filepath.Join(e.Root, "docs", "figures.json")
	var rows []Row
	b, err := os.ReadFile(data)
	if err == nil {
		err = json.Unmarshal(b, &rows)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("docs/figures.json: %w", err)
	}
	rows = merge(figures, rows, measured)
	if b, err = lines(rows); err != nil {
		return err
	}
	if err := os.WriteFile(data, b, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(e.Root, "docs", "figures.md"), page(figures, e.Machine, rows), 0o644); err != nil {
		return err
	}
	for name, text := range e.pages {
		if err := os.WriteFile(filepath.Join(e.Root, "docs", name), text, 0o644); err != nil {
			return err
		}
	}
	e.Say("wrote docs/figures.md and docs/figures.json")
	return nil
}

// lines is a JSON array with one row per line.
func lines(rows []Row) ([]byte, error) {
	var b bytes.Buffer
	separator := "[\n"
	for i := range rows {
		line, err := json.Marshal(&rows[i])
		if err != nil {
			return nil, err
		}
		b.WriteString(separator)
		b.Write(line)
		separator = ",\n"
	}
	if len(rows) == 0 {
		b.WriteString(separator)
	}
	b.WriteString("\n]\n")
	return b.Bytes(), nil
}

// merge returns the rows of each figure in the order of the registry: those measured, else those from before.
func merge(figures []Figure, before, measured []Row) []Row {
	out := []Row{}
	for _, f := range figures {
		from := before
		if slices.ContainsFunc(measured, func(r Row) bool { return r.Name == f.Name }) {
			from = measured
		}
		for _, r := range from {
			if r.Name == f.Name {
				out = append(out, r)
			}
		}
	}
	return out
}
