package gossip

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"

	"drystone/protocol"
)

// Peer exchange. The call "peers", with an empty request, is answered with signed peer records (libp2p RFC 0003), so that
// nobody can give a false address for another:
//
//	+-------------+==============+
//	| length u16  | envelope     |  up to 32 times
//	+-------------+==============+
const (
	peersCall      = "peers"
	maxRecords     = 32
	maxRecord      = 2 << 10
	maxRecordAddrs = 16
	maxPeersReply  = maxRecords * (2 + maxRecord)
)

// recordBook holds the signed records of connected peers.
type recordBook struct {
	mu      sync.Mutex
	records map[peer.ID][]byte
}

// watchRecords returns a function that keeps the book until the host closes. Libp2p's identify service hands the records
// out and does not store them.
func (h *Host) watchRecords() (func(), error) {
	sub, err := h.lib.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted), eventbus.BufSize(64))
	if err != nil {
		return nil, fmt.Errorf("gossip: peer records: %w", err)
	}
	return func() {
		defer sub.Close()
		for {
			select {
			case <-h.ctx.Done():
				return
			case e := <-sub.Out():
				if id, ok := e.(event.EvtPeerIdentificationCompleted); ok {
					h.keepRecord(id)
				}
			}
		}
	}, nil
}

func (h *Host) keepRecord(e event.EvtPeerIdentificationCompleted) {
	if e.SignedPeerRecord == nil {
		return
	}
	b, err := e.SignedPeerRecord.Marshal()
	if err != nil || len(b) > maxRecord {
		return
	}
	info, err := decodeRecord(b)
	if err != nil || info.ID != e.Peer {
		return
	}
	h.saved.saw(b, info)
	h.book.mu.Lock()
	defer h.book.mu.Unlock()
	for id := range h.book.records {
		if len(h.book.records) >= 2*h.cfg.Peers && h.lib.Network().Connectedness(id) != network.Connected {
			delete(h.book.records, id)
		}
	}
	h.book.records[e.Peer] = b
}

// servePeers answers with the records of up to maxRecords connected peers, a different sample each time.
func (h *Host) servePeers(_ context.Context, from protocol.PeerID, _ []byte) ([]byte, error) {
	ids := h.lib.Network().Peers()
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	h.book.mu.Lock()
	defer h.book.mu.Unlock()
	var out []byte
	n := 0
	for _, id := range ids {
		b := h.book.records[id]
		if p, err := PeerIDToProtocol(id); err != nil || p == from || b == nil || n == maxRecords {
			continue
		}
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(b))), b...)
		n++
	}
	return out, nil
}

// decodeRecords reads and verifies what servePeers wrote.
func decodeRecords(b []byte) ([]peer.AddrInfo, error) {
	var infos []peer.AddrInfo
	err := eachRecord(b, maxRecords, func(_ []byte, info peer.AddrInfo) { infos = append(infos, info) })
	if err != nil {
		return nil, err
	}
	return infos, nil
}

// eachRecord verifies at most limit records, each behind its big-endian uint16 length, and hands them to take.
func eachRecord(b []byte, limit int, take func(record []byte, info peer.AddrInfo)) error {
	for n := 0; len(b) > 0; n++ {
		if len(b) < 2 || n == limit {
			return fmt.Errorf("peer records: %d bytes too many", len(b))
		}
		size := int(binary.BigEndian.Uint16(b))
		if size > maxRecord || size > len(b)-2 {
			return fmt.Errorf("peer records: record of %d bytes, %d left, at most %d", size, len(b)-2, maxRecord)
		}
		info, err := decodeRecord(b[2 : 2+size])
		if err != nil {
			return fmt.Errorf("peer records: %w", err)
		}
		take(b[2:2+size:2+size], info)
		b = b[2+size:]
	}
	return nil
}

// decodeRecord verifies one signed record: of a protocol key, by that key, with 1 to maxRecordAddrs addresses.
func decodeRecord(b []byte) (peer.AddrInfo, error) {
	e, rec, err := record.ConsumeEnvelope(b, peer.PeerRecordEnvelopeDomain)
	if err != nil {
		return peer.AddrInfo{}, err
	}
	pr, ok := rec.(*peer.PeerRecord)
	if !ok {
		return peer.AddrInfo{}, fmt.Errorf("record of type %T", rec)
	}
	if _, err := PeerIDToProtocol(pr.PeerID); err != nil {
		return peer.AddrInfo{}, err
	}
	if !pr.PeerID.MatchesPublicKey(e.PublicKey) {
		return peer.AddrInfo{}, fmt.Errorf("record of %s is signed by another key", pr.PeerID)
	}
	if len(pr.Addrs) == 0 || len(pr.Addrs) > maxRecordAddrs {
		return peer.AddrInfo{}, fmt.Errorf("record of %s has %d addresses, want 1 to %d", pr.PeerID, len(pr.Addrs), maxRecordAddrs)
	}
	return peer.AddrInfo{ID: pr.PeerID, Addrs: pr.Addrs}, nil
}
