package gossip

import (
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"drystone/protocol"
)

// Thresholds of gossipsub's score of a neighbour: below them it hears no gossip, is sent no messages of our own, and is not
// listened to.
const (
	gossipBelow  = -50
	publishBelow = -100
	unheardBelow = -200
)

// inspectEvery is how often gossipsub hands out its scores.
const inspectEvery = 10 * time.Second

// standings are the neighbours' scores when gossipsub last handed them out. They are as many as gossipsub remembers: its
// neighbours, and for ten minutes those of the past with a bad score.
type standings struct {
	mu     sync.Mutex
	scores map[peer.ID]float64
}

// take is called by gossipsub, which hands over the map.
func (s *standings) take(scores map[peer.ID]float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scores = scores
}

func (s *standings) of(id peer.ID) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.scores[id]
}

// unheard counts neighbours that are not listened to.
func (s *standings) unheard() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.scores {
		if x < unheardBelow {
			n++
		}
	}
	return n
}

// Score returns what gossipsub made of a neighbour some seconds ago: 0 for one it has nothing against, and see the package
// comment on scores.
func (h *Host) Score(p protocol.PeerID) float64 {
	id, err := PeerIDFromProtocol(p)
	if err != nil {
		return 0
	}
	return h.standings.of(id)
}

// Unheard reports whether gossip of a neighbour is not listened to any more.
func (h *Host) Unheard(p protocol.PeerID) bool { return h.Score(p) < unheardBelow }
