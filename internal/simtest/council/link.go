package council

import (
	"time"

	"drystone/protocol"
)

// Links is how messages travel. Different delays reorder them.
type Links struct {
	Least, Most time.Duration // delay, evenly distributed
	Loss        float64       // probability that a message is lost
	Twice       float64       // probability that it arrives a second time, later
	// Cut reports whether two members cannot reach each other now; nil for never. It is symmetric.
	Cut func(a, b protocol.PeerID) bool
}

// send lets a message arrive at its receiver, or not. do is what the receiver does with it.
func (s *Sim) send(from, to protocol.PeerID, do func()) {
	if s.links.Cut != nil && s.links.Cut(from, to) || s.rng.Float64() < s.links.Loss {
		return
	}
	s.After(s.delay(), do)
	if s.rng.Float64() < s.links.Twice {
		s.After(s.delay()+s.delay(), do)
	}
}

func (s *Sim) delay() time.Duration {
	return s.links.Least + time.Duration(s.rng.Int64N(int64(s.links.Most-s.links.Least)+1))
}
