package node

import (
	"fmt"
	"strings"

	"drystone/gossip"
	"drystone/protocol"
)

// addrPeer returns the peer that a multiaddr ending in /p2p/ID names.
func addrPeer(addr string) (protocol.PeerID, error) {
	_, id, ok := strings.Cut(addr, "/p2p/")
	if !ok {
		return protocol.PeerID{}, fmt.Errorf("address %q does not end in /p2p/ID", addr)
	}
	return protocol.ParsePeerID(id)
}

// linkPeers returns the distinct peers that a run link names.
func linkPeers(l gossip.Link) []protocol.PeerID {
	var ids []protocol.PeerID
	seen := map[protocol.PeerID]bool{}
	for _, a := range l.Addrs {
		if id, err := addrPeer(a); err == nil && !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids
}
