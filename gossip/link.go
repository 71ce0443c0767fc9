package gossip

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"drystone/protocol"
)

// Bounds of a run link.
const (
	linkScheme    = "drystone:"
	maxLink       = 4096
	maxLinkAddrs  = 16
	maxAddrLength = 512
)

// ErrLink means that a text is no run link. The error says what is wrong with it.
var ErrLink = errors.New("not a run link")

// Link is all that a stranger needs to join a run: which one, and where some of its peers listen.
//
//	drystone:RUNID@/dns4/host/tcp/4001/p2p/ID,/ip4/192.0.2.1/udp/4001/quic-v1/p2p/ID
//
// RUNID is 64 hexadecimal digits; 1 to 16 multiaddrs follow, each ending in the /p2p/ID of a secp256k1 key.
type Link struct {
	Run   protocol.Digest
	Addrs []string
}

// String returns the link as text.
func (l Link) String() string { return linkScheme + l.Run.String() + "@" + strings.Join(l.Addrs, ",") }

// ParseLink parses a link and checks every address. Space around it is ignored. Parsing what String returns gives the
// same link.
func ParseLink(s string) (Link, error) {
	s = strings.TrimSpace(s)
	if len(s) > maxLink {
		return Link{}, fmt.Errorf("%w: %d characters, at most %d", ErrLink, len(s), maxLink)
	}
	rest, ok := strings.CutPrefix(s, linkScheme)
	if !ok {
		return Link{}, fmt.Errorf("%w: %q does not begin with %q", ErrLink, clip(s), linkScheme)
	}
	run, addrs, ok := strings.Cut(rest, "@")
	if !ok {
		return Link{}, fmt.Errorf("%w: no @ between the run and its addresses", ErrLink)
	}
	d, err := protocol.ParseDigest(run)
	if err != nil {
		return Link{}, fmt.Errorf("%w: run: %w", ErrLink, err)
	}
	l := Link{Run: d, Addrs: strings.Split(addrs, ",")}
	if len(l.Addrs) > maxLinkAddrs {
		return Link{}, fmt.Errorf("%w: %d addresses, at most %d", ErrLink, len(l.Addrs), maxLinkAddrs)
	}
	for i, a := range l.Addrs {
		info, err := parseAddr(a)
		if err != nil {
			return Link{}, fmt.Errorf("%w: address %d: %w", ErrLink, i+1, err)
		}
		l.Addrs[i] = fullAddr(info)
	}
	if hasDuplicate(l.Addrs) {
		return Link{}, fmt.Errorf("%w: an address stands there twice", ErrLink)
	}
	return l, nil
}

func hasDuplicate(s []string) bool {
	for i, a := range s {
		if slices.Contains(s[:i], a) {
			return true
		}
	}
	return false
}

// parseAddr parses a multiaddr that ends in /p2p/ID of a secp256k1 key.
func parseAddr(s string) (peer.AddrInfo, error) {
	if len(s) > maxAddrLength {
		return peer.AddrInfo{}, fmt.Errorf("%d characters, at most %d", len(s), maxAddrLength)
	}
	info, err := peer.AddrInfoFromString(s)
	if err != nil {
		return peer.AddrInfo{}, fmt.Errorf("%q: want a multiaddr such as /ip4/192.0.2.1/tcp/4001/p2p/16Uiu2...: %w", clip(s), err)
	}
	if len(info.Addrs) != 1 {
		return peer.AddrInfo{}, fmt.Errorf("%q names a peer and no place to reach it", clip(s))
	}
	if _, err := PeerIDToProtocol(info.ID); err != nil {
		return peer.AddrInfo{}, fmt.Errorf("%q: %w", clip(s), err)
	}
	return *info, nil
}

func fullAddr(info peer.AddrInfo) string { return info.Addrs[0].String() + "/p2p/" + info.ID.String() }

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
