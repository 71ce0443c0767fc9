package node

import (
	"maps"
	"sync"
)

// tally counts by name and sums up. It is safe for concurrent use. The names are this program's, never a peer's.
type tally struct {
	mu sync.Mutex
	of map[string]amount
}

type amount struct {
	n   uint64
	sum float64
}

func (t *tally) add(name string, x float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = map[string]amount{}
	}
	a := t.of[name]
	t.of[name] = amount{a.n + 1, a.sum + x}
}

func (t *tally) read() map[string]amount {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.of)
}
