package gossip

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/record"

	"drystone/protocol"
)

// Peer exchange. A peer asked for "peers" answers with signed peer records (libp2p RFC 0003), so that nobody can give a
// false address for another.
const (
	peersCall        = "peers"
	maxRecords       = 32
	maxRecord        = 2 << 10
	maxRecordAddrs   = 16
	maxPeersReply    = maxRecords * (2 + maxRecord)
	exchangePeriod   = 20 * time.Second
	askPerRound      = 3 // neighbours asked
	dialPerRound     = 8 // newcomers dialled
	recordTTL        = 30 * time.Minute
	protectBootstrap = "drystone-bootstrap"
)

// parseAddrs parses multiaddrs and gathers those of one peer.
func parseAddrs(addrs []string) ([]peer.AddrInfo, error) {
	var out []peer.AddrInfo
next:
	for _, s := range addrs {
		info, err := parseAddr(s)
		if err != nil {
			return nil, err
		}
		for i := range out {
			if out[i].ID == info.ID {
				out[i].Addrs = append(out[i].Addrs, info.Addrs...)
				continue next
			}
		}
		out = append(out, info)
	}
	return out, nil
}

func (h *Host) lookAgain() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// discover keeps the bootstrap peers connected and looks for more neighbours until there are half of Config.Peers. It
// runs until Close.
func (h *Host) discover(boot []peer.AddrInfo) {
	for _, b := range boot {
		h.lib.ConnManager().Protect(b.ID, protectBootstrap)
	}
	tick := time.NewTicker(exchangePeriod)
	defer tick.Stop()
	for {
		h.dial(boot)
		if len(h.lib.Network().Peers()) < (h.cfg.Peers+1)/2 {
			h.dial(h.exchange())
		}
		select {
		case <-h.ctx.Done():
			return
		case <-tick.C:
		case <-h.wake:
		}
	}
}

// dial connects to peers that are not connected, side by side; failures are tried again in the next round.
func (h *Host) dial(infos []peer.AddrInfo) {
	results := make(chan struct{}, len(infos))
	for _, info := range infos {
		go func() {
			defer func() { results <- struct{}{} }()
			if info.ID == h.lib.ID() {
				return
			}
			ctx, cancel := context.WithTimeout(h.ctx, dialTimeout)
			defer cancel()
			if err := h.lib.Connect(ctx, info); err != nil {
				h.cfg.Logger.Debug("peer not reached", "peer", info.ID, "err", oneLine(err))
			}
		}()
	}
	for range infos {
		<-results
	}
}

// exchange asks some neighbours for peers and returns up to dialPerRound that are new.
func (h *Host) exchange() []peer.AddrInfo {
	neighbours := h.Peers()
	rand.Shuffle(len(neighbours), func(i, j int) { neighbours[i], neighbours[j] = neighbours[j], neighbours[i] })
	var found []peer.AddrInfo
	for _, p := range neighbours[:min(askPerRound, len(neighbours))] {
		infos, err := h.askPeers(p)
		if err != nil {
			h.cfg.Logger.Debug("peer exchange", "peer", p, "err", err)
			continue
		}
		for _, info := range infos {
			known := len(h.lib.Network().ConnsToPeer(info.ID)) > 0 || info.ID == h.lib.ID()
			if !known && len(found) < dialPerRound {
				found = append(found, info)
			}
		}
	}
	return found
}

func (h *Host) askPeers(p protocol.PeerID) ([]peer.AddrInfo, error) {
	resp, err := h.Call(h.ctx, p, peersCall, nil, maxPeersReply)
	if err != nil {
		return nil, err
	}
	envelopes, infos, err := decodeRecords(resp)
	if err != nil {
		return nil, err
	}
	book, ok := peerstore.GetCertifiedAddrBook(h.lib.Peerstore())
	if !ok {
		return nil, errors.New("the peerstore keeps no signed records")
	}
	for _, e := range envelopes {
		if _, err := book.ConsumePeerRecord(e, recordTTL); err != nil {
			return nil, fmt.Errorf("peer record: %w", err)
		}
	}
	return infos, nil
}

// servePeers answers with the records of up to maxRecords connected peers, a different sample each time.
func (h *Host) servePeers(_ context.Context, from protocol.PeerID, _ []byte) ([]byte, error) {
	book, ok := peerstore.GetCertifiedAddrBook(h.lib.Peerstore())
	if !ok {
		return nil, Errorf(CodeNotFound, "no peer records are kept")
	}
	ids := h.lib.Network().Peers()
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	var out []byte
	n := 0
	for _, id := range ids {
		if p, err := PeerIDToProtocol(id); err != nil || p == from || n == maxRecords {
			continue
		}
		e := book.GetPeerRecord(id)
		if e == nil {
			continue
		}
		b, err := e.Marshal()
		if err != nil || len(b) > maxRecord {
			continue
		}
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(b))), b...)
		n++
	}
	return out, nil
}

// decodeRecords reads and verifies what servePeers wrote: records, each behind its big-endian uint16 length.
func decodeRecords(b []byte) ([]*record.Envelope, []peer.AddrInfo, error) {
	var envelopes []*record.Envelope
	var infos []peer.AddrInfo
	for len(b) > 0 {
		if len(b) < 2 || len(envelopes) == maxRecords {
			return nil, nil, fmt.Errorf("peer records: %d bytes too many", len(b))
		}
		n := int(binary.BigEndian.Uint16(b))
		if n > maxRecord || n > len(b)-2 {
			return nil, nil, fmt.Errorf("peer records: record of %d bytes, %d left, at most %d", n, len(b)-2, maxRecord)
		}
		e, info, err := decodeRecord(b[2 : 2+n])
		if err != nil {
			return nil, nil, fmt.Errorf("peer records: %w", err)
		}
		envelopes, infos, b = append(envelopes, e), append(infos, info), b[2+n:]
	}
	return envelopes, infos, nil
}

// decodeRecord verifies one signed record: of a protocol key, by that key, with 1 to maxRecordAddrs addresses.
func decodeRecord(b []byte) (*record.Envelope, peer.AddrInfo, error) {
	e, rec, err := record.ConsumeEnvelope(b, peer.PeerRecordEnvelopeDomain)
	if err != nil {
		return nil, peer.AddrInfo{}, err
	}
	pr, ok := rec.(*peer.PeerRecord)
	if !ok {
		return nil, peer.AddrInfo{}, fmt.Errorf("record of type %T", rec)
	}
	if _, err := PeerIDToProtocol(pr.PeerID); err != nil {
		return nil, peer.AddrInfo{}, err
	}
	if !pr.PeerID.MatchesPublicKey(e.PublicKey) {
		return nil, peer.AddrInfo{}, fmt.Errorf("record of %s is signed by another key", pr.PeerID)
	}
	if len(pr.Addrs) == 0 || len(pr.Addrs) > maxRecordAddrs {
		return nil, peer.AddrInfo{}, fmt.Errorf("record of %s has %d addresses, want 1 to %d", pr.PeerID, len(pr.Addrs), maxRecordAddrs)
	}
	return e, peer.AddrInfo{ID: pr.PeerID, Addrs: pr.Addrs}, nil
}
