package gossip

import (
	"math"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"drystone/protocol"
)

// What a peer loses by its conduct in the blob exchange. The points halve every conductHalf. They count against it in
// gossipsub's scores one for one (scoring), and from shunAt on it is neither asked for blobs, unless nobody else has one,
// nor served any.
const (
	pointsLied    = 100 // data that does not match the digest, a malformed answer
	pointsStalled = 30  // a request or a response that stopped moving
	pointsMissing = 5   // a piece that it said it had
	shunAt        = 50
	conductHalf   = 2 * time.Minute
	maxConduct    = 4096 // peers remembered
)

// conduct remembers the points of peers.
type conduct struct {
	mu    sync.Mutex
	peers map[protocol.PeerID]mark
}

type mark struct {
	points float64
	at     time.Time
}

func (m mark) now() float64 {
	return m.points * math.Exp2(-time.Since(m.at).Seconds()/conductHalf.Seconds())
}

func newConduct() *conduct { return &conduct{peers: map[protocol.PeerID]mark{}} }

// blame adds points. With too many peers remembered, those with the fewest points are forgotten.
func (c *conduct) blame(p protocol.PeerID, points float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peers[p] = mark{points: c.peers[p].now() + points, at: time.Now()}
	if len(c.peers) <= maxConduct {
		return
	}
	least, who := math.Inf(1), p
	for id, m := range c.peers {
		if x := m.now(); x < least {
			least, who = x, id
		}
	}
	delete(c.peers, who)
}

// points returns what a peer has against it now.
func (c *conduct) points(p protocol.PeerID) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, ok := c.peers[p]
	if !ok {
		return 0
	}
	return m.now()
}

func (c *conduct) shunned(p protocol.PeerID) bool { return c.points(p) >= shunAt }

// score is the part of gossipsub's score of a peer that the application gives.
func (c *conduct) score(id peer.ID) float64 {
	p, err := PeerIDToProtocol(id)
	if err != nil {
		return 0
	}
	return -c.points(p)
}

// count returns how many peers are shunned.
func (c *conduct) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, m := range c.peers {
		if m.now() >= shunAt {
			n++
		}
	}
	return n
}

// Shuns reports whether a peer is shunned for its conduct in the blob exchange: see the package comment on scores.
func (h *Host) Shuns(p protocol.PeerID) bool { return h.blobs.conduct.shunned(p) }
