package gossip

import (
	"math"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"drystone/protocol"
)

// What a peer loses by its conduct. The points halve every conductHalf. They count against it in gossipsub's scores one for
// one (scoring), and from shunAt on it is neither asked for blobs, unless nobody else has one, nor served any.
//
// Messages cost so little that only many of them count: a neighbour that is behind forwards what it takes for new, at most
// some statements of each round that it lacks, and a busy one may send a burst beyond its rate.
const (
	pointsLied     = 100  // data that does not match the digest, a malformed answer
	pointsStalled  = 30   // a request or a response that stopped moving
	pointsMissing  = 10   // a piece that it said it had
	pointsRepeated = 30   // the same piece, which it says again that it has
	pointsStale    = 0.5  // a message of its own to a round long over
	pointsPassed   = 0.05 // another's message to a round long over
	pointsFlood    = 0.01 // a message beyond its rate
	shunAt         = 50
	conductHalf    = 2 * time.Minute
	maxConduct     = 4096 // peers remembered
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

// stale blames a neighbour for a message to a round long over. What it has signed itself nobody else has made it send.
func (c *conduct) stale(neighbour peer.ID, from protocol.PeerID) {
	p, err := PeerIDToProtocol(neighbour)
	switch {
	case err != nil:
	case p == from:
		c.blame(p, pointsStale)
	default:
		c.blame(p, pointsPassed)
	}
}

// flooded blames a neighbour for messages beyond its rate.
func (c *conduct) flooded(neighbour peer.ID, messages int) {
	if p, err := PeerIDToProtocol(neighbour); err == nil {
		c.blame(p, pointsFlood*float64(messages))
	}
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

// Shuns reports whether a peer is shunned for its conduct: see the package comment on scores.
func (h *Host) Shuns(p protocol.PeerID) bool { return h.blobs.conduct.shunned(p) }
