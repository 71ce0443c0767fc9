package council

import (
	"fmt"
	"testing"
	"time"

	"drystone/aggregate"
	"drystone/protocol"
)

// The founder's orders: a paused run opens no round and goes on when resumed, a stopped one ends with a statement and is
// paid, and a council that one member leaves goes on with the next set's quorum, certified by the set before.
func TestFoundersOrders(t *testing.T) {
	three := func(s *protocol.RunSpec) { s.Train.Rounds = 3 }
	t.Run("pause", func(t *testing.T) {
		play(t, Setup{Spec: three}, func(s *Sim) { s.At(150, func() { s.Order(protocol.ActionPause, 1) }) }, 5*time.Minute, stuck)
	})
	t.Run("resume", func(t *testing.T) {
		play(t, Setup{Spec: three, Links: rough}, func(s *Sim) {
			s.At(150, func() { s.Order(protocol.ActionPause, 1) })
			s.After(3*time.Minute, func() { s.Order(protocol.ActionResume, 2) })
		}, limit, live(func(s *Sim) string { return s.ends(protocol.KindCertificate, 2) }))
	})
	t.Run("stop", func(t *testing.T) {
		play(t, Setup{Spec: three, Links: rough}, func(s *Sim) { s.At(150, func() { s.Order(protocol.ActionStop, 1) }) }, limit,
			live(func(s *Sim) string {
				if s.Aggs[0].machine.Phase() != aggregate.PhaseFinished {
					return s.where()
				}
				return s.ends(protocol.KindEnd, 1)
			}))
	})
	// Who was removed goes on running its replica here, as one does that was not told; it has no duties any more.
	t.Run("remove", func(t *testing.T) {
		play(t, Setup{Spec: three}, func(s *Sim) {
			s.At(150, func() { s.Order(protocol.ActionRemove, 1, s.Aggs[3].ID()) })
		}, limit, live(func(s *Sim) string {
			change := find(s.Trainers[0].Chain, protocol.KindCouncil, 1)
			if change == nil || s.council.Verify(change) != nil {
				return "no change of the council that the set before certified"
			}
			for _, st := range s.Aggs[0].Chain {
				for _, c := range st.Sigs {
					if st.Statement.Round >= 1 && st.Statement.Kind != protocol.KindCouncil && c.Signer == s.Aggs[3].ID() {
						return "who was removed signs"
					}
				}
			}
			return s.ends(protocol.KindCertificate, 2)
		}))
	})
}

// ends wants every trainer's chain to end so.
func (s *Sim) ends(kind protocol.Kind, round uint32) string {
	for _, tr := range s.Trainers {
		if last := tr.Chain[len(tr.Chain)-1].Statement; last.Kind != kind || last.Round != round {
			return fmt.Sprintf("the chain of %s ends with the %s of round %d", s.name(tr.ID()), last.Kind, last.Round)
		}
	}
	return ""
}
