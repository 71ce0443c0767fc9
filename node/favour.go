package node

import (
	"slices"

	"drystone/protocol"
)

// favour keeps places at this host for those whom an Open names, and for the council.
func (a *Aggregator) favour(s *protocol.SignedStatement) {
	if s.Statement.Kind != protocol.KindOpen {
		return
	}
	open, err := protocol.DecodeBody[protocol.Open](&s.Statement)
	if err != nil {
		return // learn has said so
	}
	members := slices.Clone(open.Roster)
	if council, _ := a.history.rules(); council != nil {
		for _, m := range council.Members {
			members = append(members, m.ID)
		}
	}
	a.host.Favour(members)
}
