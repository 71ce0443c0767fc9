package node

import (
	"fmt"
	"slices"
	"sync"

	"drystone/aggregate"
	"drystone/protocol"
)

// fewSaid is the number of contributors that a member has warned of, nil while there are enough.
type fewSaid struct {
	mu   sync.Mutex
	last *int
}

// sayIfFew says aloud that a round opens with too few contributors for a merge rule to protect it: once for each number,
// and again if there were enough in between.
func (m *member) sayIfFew(open *protocol.Statement) {
	n, text := m.fewText(open)
	m.few.mu.Lock()
	said := text == "" || m.few.last != nil && *m.few.last == n
	m.few.last = nil
	if text != "" {
		m.few.last = &n
	}
	m.few.mu.Unlock()
	if !said {
		m.emit(Event{Kind: EventFew, Round: open.Round, Count: uint64(n), Text: text})
	}
}

// fewText returns the contributors of an Open, and what to say if they are too few, else nothing.
func (m *member) fewText(open *protocol.Statement) (n int, text string) {
	body, err := protocol.DecodeBody[protocol.Open](open)
	if err != nil {
		return 0, "" // whoever took the statement decoded it before
	}
	if n = m.contributors(body, open.Round); n >= aggregate.FewContributors {
		return n, ""
	}
	what, s := fmt.Sprintf("round %d", open.Round), "s"
	if len(body.Capacity) > 0 {
		what = fmt.Sprintf("in round %d some shard", open.Round)
	}
	if n == 1 {
		s = ""
	}
	return n, fmt.Sprintf("%s has %d contributor%s: with fewer than %d no merge rule protects statistically; every contribution is checked",
		what, n, s, aggregate.FewContributors)
}

// contributors returns how many peers train the shard that the fewest train, since each shard is merged by itself where
// some train a part.
func (m *member) contributors(open *protocol.Open, round uint32) int {
	if len(open.Capacity) == 0 {
		return len(open.Roster)
	}
	trained := make([]int, m.spec.Codec.Shards(m.params))
	for i := range open.Roster {
		own := open.Shards(&m.spec.Codec, m.params, round, i)
		for k := range trained {
			if _, ok := protocol.PlaceOf(own, k); ok {
				trained[k]++
			}
		}
	}
	return slices.Min(trained)
}

// Few returns what is to be said of the newest round if it has too few contributors for a merge rule to protect it, else
// nothing. The statement chain as it is known here says so.
func (c *Client) Few() string {
	s := c.history.newestOpen()
	if s == nil {
		return ""
	}
	_, text := c.fewText(&s.Statement)
	return text
}
