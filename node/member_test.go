package node

import (
	"errors"
	"strings"
	"testing"

	"drystone/gossip"
	"drystone/protocol"
)

// A run whose segment openings exceed what a call carries is refused at once: every honest peer would be refuted in it.
func TestOpeningsMustFitACall(t *testing.T) {
	s := tinySpec(1, 2, 2, tinyData())
	s.Model.Dim, s.Model.Layers, s.Model.FFN = 512, 4, 2048
	run, err := s.ID()
	if err != nil {
		t.Fatal(err)
	}
	a, err := OpenAggregator(t.Context(), Config{Key: protocol.DeriveKey(1, "aggregator/0"), Dir: t.TempDir()}, gossip.Link{Run: run}, &s)
	if err == nil {
		a.Close()
	}
	if !errors.Is(err, protocol.ErrBadSpec) || !strings.Contains(err.Error(), "prefix") {
		t.Errorf("got %v, want ErrBadSpec and the way out", err)
	}
}
