package node

import (
	"fmt"

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
	n := len(body.Roster)
	if n >= aggregate.FewContributors {
		n = 0
	}
	a.mu.Lock()
	said := a.few == n
	a.few = n
	a.mu.Unlock()
	if n == 0 || said {
		return
	}
	s := "s"
	if n == 1 {
		s = ""
	}
	a.emit(Event{Kind: EventFew, Round: open.Round, Count: uint64(n), Text: fmt.Sprintf(
		"round %d has %d contributor%s: with fewer than %d no merge rule protects statistically; every contribution is checked",
		open.Round, n, s, aggregate.FewContributors)})
}
