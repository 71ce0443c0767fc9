package gossip

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"drystone/protocol"
)

// TopicHave carries announcements of blobs, so that who needs one finds more sources than those who made it:
//
//	+-----------+-----------+---------+
//	| version=1 | digest 32 | peer 33 |      the peer has pieces of the blob; it is the one that published
//	+-----------+-----------+---------+
//
// The peer is inside because a message's identity is its content. A blob that sixteen peers have announced needs no more:
// neither is another announcement of it made nor is one forwarded. So the traffic does not grow with the number of peers.
const TopicHave = "have"

const (
	announcement = 1 + 32 + 33
	enoughHave   = 16  // announcements of a blob that are forwarded
	rememberHave = 64  // peers remembered of a blob
	wantedBlobs  = 16  // blobs remembered of those that are wanted
	earlyHave    = 256 // announcements remembered of blobs that are not known yet to be wanted
)

// Haves tells who has which blobs, as peers announce it. It is safe for concurrent use.
type Haves struct {
	h      *Host
	topic  *Topic
	wanted func(d protocol.Digest) bool

	mu    sync.Mutex
	order []protocol.Digest // wanted blobs, oldest first
	peers map[protocol.Digest][]protocol.PeerID
	early []early // oldest first
}

type early struct {
	digest protocol.Digest
	peer   protocol.PeerID
}

// JoinHaves joins TopicHave. wanted says whether a blob is one that peers of the run should have now: announcements of
// others are not forwarded. It is called from many goroutines.
func (h *Host) JoinHaves(wanted func(d protocol.Digest) bool) (*Haves, error) {
	a := &Haves{h: h, wanted: wanted, peers: map[protocol.Digest][]protocol.PeerID{}}
	var err error
	if a.topic, err = h.Join(TopicHave, a.judge); err != nil {
		return nil, err
	}
	if _, err := a.topic.topic.Relay(); err != nil {
		return nil, fmt.Errorf("gossip: relay %s: %w", TopicHave, err)
	}
	return a, nil
}

func encodeHas(d protocol.Digest, p protocol.PeerID) []byte {
	return append(append([]byte{1}, d[:]...), p[:]...)
}

func decodeHas(b []byte) (d protocol.Digest, p protocol.PeerID, err error) {
	if len(b) != announcement || b[0] != 1 {
		return d, p, fmt.Errorf("%w: announcement of %d bytes", errWire, len(b))
	}
	return protocol.Digest(b[1:33]), protocol.PeerID(b[33:]), nil
}

// judge validates an announcement and takes note of it.
func (a *Haves) judge(_ context.Context, from protocol.PeerID, data []byte) Verdict {
	d, p, err := decodeHas(data)
	if err != nil || p != from {
		return Reject
	}
	if !a.wanted(d) {
		a.noteEarly(early{d, p})
		return Ignore
	}
	if a.note(d, p) > enoughHave {
		return Ignore
	}
	return Accept
}

// note remembers that p has the wanted blob d and returns how many peers have it.
func (a *Haves) note(d protocol.Digest, p protocol.PeerID) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	list, known := a.peers[d]
	if !known {
		if a.order = append(a.order, d); len(a.order) > wantedBlobs {
			delete(a.peers, a.order[0])
			a.order = a.order[1:]
		}
	}
	if !slices.Contains(list, p) && len(list) < rememberHave {
		list = append(list, p)
	}
	a.peers[d] = list
	return len(list)
}

// noteEarly remembers an announcement that comes before the statement that makes its blob a wanted one.
func (a *Haves) noteEarly(e early) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if slices.Contains(a.early, e) {
		return
	}
	if a.early = append(a.early, e); len(a.early) > earlyHave {
		a.early = slices.Delete(a.early, 0, 1)
	}
}

// Providers returns peers that have announced pieces of a blob, at most 64 and 256 early ones. It is their word.
func (a *Haves) Providers(d protocol.Digest) []protocol.PeerID {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := slices.Clone(a.peers[d])
	for _, e := range a.early {
		if e.digest == d && !slices.Contains(out, e.peer) {
			out = append(out, e.peer)
		}
	}
	return slices.DeleteFunc(out, func(p protocol.PeerID) bool { return p == a.h.id })
}

// Announce tells that pieces of d are here, unless enough others have told it of themselves.
func (a *Haves) Announce(ctx context.Context, d protocol.Digest) error {
	a.mu.Lock()
	enough := len(a.peers[d]) >= enoughHave
	a.mu.Unlock()
	if enough {
		return nil
	}
	if err := a.topic.Publish(ctx, encodeHas(d, a.h.id)); err != nil {
		return fmt.Errorf("announce a blob: %w", err)
	}
	return nil
}
