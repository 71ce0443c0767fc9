package gossip

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"drystone/protocol"
)

// PeerIDToProtocol returns the secp256k1 key inside a libp2p peer ID. Other kinds of key are an error.
func PeerIDToProtocol(id peer.ID) (protocol.PeerID, error) {
	p, err := protocol.ParsePeerID(id.String())
	if err != nil {
		return protocol.PeerID{}, fmt.Errorf("libp2p peer: %w", err)
	}
	return p, nil
}

// PeerIDFromProtocol returns the libp2p peer ID of a key. A value that is no point of the curve is an error.
func PeerIDFromProtocol(p protocol.PeerID) (peer.ID, error) {
	pub, err := crypto.UnmarshalSecp256k1PublicKey(p[:])
	if err != nil {
		return "", fmt.Errorf("peer %x: %w", p[:], err)
	}
	id, err := peer.IDFromPublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("peer %x: %w", p[:], err)
	}
	return id, nil
}

func identity(k protocol.Key) (crypto.PrivKey, error) {
	secret := k.Secret()
	priv, err := crypto.UnmarshalSecp256k1PrivateKey(secret[:])
	if err != nil {
		return nil, fmt.Errorf("libp2p identity: %w", err)
	}
	return priv, nil
}

// gater lets in only peers whose libp2p identity is a protocol key, so that every connection has a PeerID. Who dials back
// to find out whether we can be reached (AutoNAT) does so with a key of the moment: it may finish the handshake, which
// answers its question, and is cut off then.
type gater struct{}

var _ connmgr.ConnectionGater = gater{}

func (gater) InterceptPeerDial(p peer.ID) bool             { _, err := PeerIDToProtocol(p); return err == nil }
func (gater) InterceptAddrDial(peer.ID, ma.Multiaddr) bool { return true }
func (gater) InterceptAccept(network.ConnMultiaddrs) bool  { return true }
func (gater) InterceptSecured(d network.Direction, p peer.ID, _ network.ConnMultiaddrs) bool {
	_, err := PeerIDToProtocol(p)
	return err == nil || d == network.DirInbound
}
func (gater) InterceptUpgraded(c network.Conn) (bool, control.DisconnectReason) {
	_, err := PeerIDToProtocol(c.RemotePeer())
	return err == nil, 0
}
