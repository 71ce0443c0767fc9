package node

import (
	"fmt"
	"slices"

	"drystone/aggregate"
	"drystone/protocol"
)

// sayIfFew says aloud that a round opens with too few contributors for a merge rule to protect it: once for each number,
// and again if there were enough in between.
func (a *Aggregator) sayIfFew(open *protocol.Statement) {
	body, err := protocol.DecodeBody[protocol.Open](open)
	if err != nil {
		return // the machine decoded it before
	}
	n := a.contributors(body, open.Round)
	text := ""
	if n < aggregate.FewContributors {
		what := fmt.Sprintf("round %d", open.Round)
		if len(body.Capacity) > 0 {
			what = fmt.Sprintf("in round %d some shard", open.Round)
		}
		s := "s"
		if n == 1 {
			s = ""
		}
		text = fmt.Sprintf("%s has %d contributor%s: with fewer than %d no merge rule protects statistically; every contribution is checked",
			what, n, s, aggregate.FewContributors)
	}
	a.mu.Lock()
	said := text == "" || a.few != nil && *a.few == n
	a.few = nil
	if text != "" {
		a.few = &n
	}
	a.mu.Unlock()
	if !said {
		a.emit(Event{Kind: EventFew, Round: open.Round, Count: uint64(n), Text: text})
	}
}

// contributors returns how many peers train the shard that the fewest train, since each shard is merged by itself where
// some train a part.
func (a *Aggregator) contributors(open *protocol.Open, round uint32) int {
	if len(open.Capacity) == 0 {
		return len(open.Roster)
	}
	trained := make([]int, a.spec.Codec.Shards(a.params))
	for i := range open.Roster {
		own := open.Shards(&a.spec.Codec, a.params, round, i)
		for k := range trained {
			if _, ok := protocol.PlaceOf(own, k); ok {
				trained[k]++
			}
		}
	}
	return slices.Min(trained)
}
