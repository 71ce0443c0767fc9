package gpu

import (
	"fmt"
	"strconv"
	"strings"
)

// Choice is what a person says training is to run on.
type Choice struct {
	Auto  bool // a card if one is fit, else the processor
	Index int  // of the card; -1 for the processor
}

// ParseChoice reads auto, cpu, or cuda:N with N a card in the driver's order; cuda alone is cuda:0.
func ParseChoice(s string) (Choice, error) {
	switch {
	case s == "auto" || s == "":
		return Choice{Auto: true, Index: -1}, nil
	case s == "cpu":
		return Choice{Index: -1}, nil
	case s == "cuda":
		return Choice{}, nil
	}
	if n, ok := strings.CutPrefix(s, "cuda:"); ok {
		if i, err := strconv.ParseUint(n, 10, 10); err == nil {
			return Choice{Index: int(i)}, nil
		}
	}
	return Choice{}, fmt.Errorf("device %q: want auto, cpu, or cuda:N with N from 0 to %d", s, maxCards-1)
}

// String is what ParseChoice reads.
func (c Choice) String() string {
	switch {
	case c.Auto:
		return "auto"
	case c.Index < 0:
		return "cpu"
	}
	return fmt.Sprintf("cuda:%d", c.Index)
}
