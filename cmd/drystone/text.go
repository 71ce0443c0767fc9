package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"

	"drystone/gossip"
)

// oneLine folds an error of several lines.
func oneLine(err error) string {
	lines := strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' })
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "; ")
}

// unusable marks an error as one of the command's input.
func unusable(err error) error {
	if err == nil || errors.Is(err, errUsage) {
		return err
	}
	return fmt.Errorf("%w: %w", errUsage, err)
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// jsonLine writes one JSON object on one line.
func jsonLine(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }

// isTerminal reports whether a stream is one that a person looks at.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// tokens renders smallest units as tokens with up to 4 decimals.
func tokens(units *big.Int) string {
	one := new(big.Int).Exp(big.NewInt(10), big.NewInt(18), nil)
	whole, rest := new(big.Int).QuoRem(units, one, new(big.Int))
	frac := new(big.Int).Quo(rest, new(big.Int).Exp(big.NewInt(10), big.NewInt(14), nil))
	return fmt.Sprintf("%s.%04d", whole, frac.Int64())
}

// decimal parses smallest units.
func decimal(s string) *big.Int {
	v, ok := new(big.Int).SetString(s, 10)
	if !ok {
		return new(big.Int)
	}
	return v
}

func parseLink(s string) (gossip.Link, error) {
	link, err := gossip.ParseLink(s)
	if err != nil {
		return link, fmt.Errorf("%w: %w", errUsage, err)
	}
	return link, nil
}

// printable shows sampled bytes as text on few lines.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if r < ' ' || r == 0x7f || r == '\ufffd' {
			return '.'
		}
		return r
	}, strings.ToValidUTF8(string(b), "."))
}

// byteUnits are the units that parseBytes knows, longest first.
var byteUnits = []struct {
	name  string
	bytes float64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40}, {"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12}, {"b", 1}, {"", 1},
}

// parseBytes parses an amount of memory, such as 2GB or 1.5 GiB; a bare number is in bytes.
func parseBytes(text string) (int64, error) {
	s := strings.ToLower(strings.TrimSpace(text))
	for _, u := range byteUnits {
		number, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		x, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(x*u.bytes >= 1 && x*u.bytes < 1<<62) {
			break
		}
		return int64(x * u.bytes), nil
	}
	return 0, fmt.Errorf("%q is no amount of memory; write it as in 2GB or 512MiB", text)
}
