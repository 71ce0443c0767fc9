package examples

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Table says how to read a CSV table.
type Table struct {
	Target  string // name of the column to predict; empty for the last one
	Classes int    // above 0: the target is a class below it, a whole number; 0: it is a value
}

// FromCSV reads a table (RFC 4180): a header line of column names, then numbers. Every column but the target is a
// feature. Errors name line and column.
func FromCSV(f File, opt Table) (*Raw, error) {
	bad := func(format string, args ...any) (*Raw, error) {
		return nil, fmt.Errorf("%w: %s: %s", ErrFormat, f.Name, fmt.Sprintf(format, args...))
	}
	rd := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(f.Data, []byte("\ufeff"))))
	rd.ReuseRecord, rd.TrimLeadingSpace = true, true
	row, err := rd.Read()
	if err != nil {
		return bad("%s", explain(err, 0))
	}
	names := make([]string, len(row))
	for i, s := range row {
		names[i] = strings.Clone(strings.TrimSpace(s))
	}
	target, err := targetColumn(names, opt.Target)
	if err != nil {
		return bad("line 1: %v", err)
	}
	r := &Raw{Height: 1, Width: 1, Channels: len(names) - 1, Classes: opt.Classes}
	if opt.Classes == 0 {
		r.ValueCount = 1
	}
	for {
		row, err := rd.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return bad("%s", explain(err, len(names)))
		}
		for i, s := range row {
			s = strings.TrimSpace(s)
			if i == target && opt.Classes > 0 {
				c, err := strconv.ParseUint(s, 10, 31)
				if err != nil || int(c) >= opt.Classes {
					line, _ := rd.FieldPos(i)
					return bad("line %d, column %d (%s): %s is no class: want a whole number from 0 to %d (model.outputs - 1)", line, i+1, names[i], shorten(s), opt.Classes-1)
				}
				r.Labels = append(r.Labels, int32(c))
				continue
			}
			v, err := strconv.ParseFloat(s, 32)
			if err != nil || !finite(float32(v)) {
				line, _ := rd.FieldPos(i)
				return bad("line %d, column %d (%s): %s is no finite number", line, i+1, names[i], shorten(s))
			}
			if i == target {
				r.Values = append(r.Values, float32(v))
			} else {
				r.Features = append(r.Features, float32(v))
			}
		}
		r.Count++
	}
	if r.Count == 0 {
		return bad("no row after the header line")
	}
	return r, nil
}

// targetColumn finds the column to predict and refuses tables without a header.
func targetColumn(names []string, want string) (int, error) {
	numbers := 0
	for _, s := range names {
		if _, err := strconv.ParseFloat(s, 64); err == nil {
			numbers++
		}
	}
	switch {
	case len(names) < 2:
		return 0, fmt.Errorf("%d column, want at least one feature and the target", len(names))
	case len(names) > maxSide:
		return 0, fmt.Errorf("%d columns, want at most %d", len(names), maxSide)
	case numbers == len(names):
		return 0, errors.New("only numbers: the first line must name the columns")
	case want == "":
		return len(names) - 1, nil
	}
	for i, s := range names {
		if s == want {
			return i, nil
		}
	}
	return 0, fmt.Errorf("no column %s; there are %s", shorten(want), shorten(strings.Join(names, ", ")))
}

// explain puts an error of encoding/csv into words.
func explain(err error, columns int) string {
	var p *csv.ParseError
	switch {
	case err == io.EOF:
		return "the file is empty"
	case errors.As(err, &p) && errors.Is(err, csv.ErrFieldCount):
		return fmt.Sprintf("line %d: another number of fields than the %d columns of the header line", p.Line, columns)
	case errors.As(err, &p):
		return fmt.Sprintf("line %d, column %d: %v", p.Line, p.Column, p.Err)
	}
	return err.Error()
}

// shorten quotes a piece of input for a message.
func shorten(s string) string {
	if len(s) > 40 {
		s = s[:40] + "..."
	}
	return strconv.Quote(s)
}
