package gossip

import (
	"github.com/libp2p/go-libp2p/core/peer"

	"drystone/protocol"
)

// favoured are the peers that take part in the run now, as the owner of the host named them last.
type favoured map[protocol.PeerID]peer.ID

const protectMember = "drystone-member"

// maxFavoured bounds them: a full roster and a council.
const maxFavoured = 2 * protocol.MaxRoster

// Favour names the peers that take part in the run, in place of those named before: for an aggregator the roster and the
// council. Strangers, however many, then take at most half of the places for calls and streams that are under way at once,
// and connections of members are not the ones that are trimmed. Nobody is turned away for being a stranger: every member was
// one when it joined. Names beyond 2048 are ignored.
func (h *Host) Favour(peers []protocol.PeerID) {
	now := favoured{}
	for _, p := range peers[:min(len(peers), maxFavoured)] {
		if id, err := PeerIDFromProtocol(p); err == nil {
			now[p] = id
		}
	}
	h.favouring.Lock() // two calls must not mix their protections
	defer h.favouring.Unlock()
	before := h.inbound.favour(now)
	conns := h.lib.ConnManager()
	for p, id := range before {
		if _, still := now[p]; !still {
			conns.Unprotect(id, protectMember)
		}
	}
	for _, id := range now {
		conns.Protect(id, protectMember)
	}
}
