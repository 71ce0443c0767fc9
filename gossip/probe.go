package gossip

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"drystone/protocol"
)

// The call "probe" measures the way to a peer: how long it is, how wide, what the peer's clock says and from which address
// it sees us. With big-endian numbers:
//
//	          +-----------+===============+
//	request   | want u32  | padding       |     at most 1 MiB of each
//	          +-----------+===============+
//	          +------------------+--------------+===============+================+
//	response  | nanoseconds i64  | length u16   | multiaddr     | want bytes     |     Unix time at the peer
//	          +------------------+--------------+===============+================+
const (
	probeCall     = "probe"
	maxProbe      = 1 << 20
	probeHead     = 8 + 2
	probePerPeer  = 8 << 20  // bytes, both ways, that one peer gets in probeWindow
	probeForAll   = 32 << 20 // that all peers get together
	probeWindow   = time.Minute
	maxProbePeers = 4096 // counted in a window; more are sent away
)

// Probe is what one call to a peer measured.
type Probe struct {
	Peer protocol.PeerID
	Took time.Duration // from the request's first byte to the response's last; the round trip if both were small
	// Offset is how far the peer's clock is ahead of ours, give or take half of Took; that the way there is as long as the way
	// back is assumed (NTP, RFC 5905 section 8).
	Offset time.Duration
	Seen   string // multiaddr that the peer sees us at
	At     string // multiaddr that we see the peer at
}

// Probe sends up bytes to a peer and asks for down bytes back, at most 1 MiB each. The peer answers CodeBusy to who asks
// for more than 8 MiB in a minute.
func (h *Host) Probe(ctx context.Context, p protocol.PeerID, up, down int) (Probe, error) {
	if up < 0 || up > maxProbe || down < 0 || down > maxProbe {
		return Probe{}, fmt.Errorf("gossip: probe of %d bytes up and %d down, want 0 to %d", up, down, maxProbe)
	}
	req := binary.BigEndian.AppendUint32(nil, uint32(down))
	start := time.Now()
	resp, err := h.Call(ctx, p, probeCall, append(req, make([]byte, up)...), probeHead+maxAddrLength+down)
	end := time.Now()
	if err != nil {
		return Probe{}, err
	}
	at, seen, err := decodeProbe(resp, down)
	if err != nil {
		return Probe{}, fmt.Errorf("gossip: probe of %s: %w", p.Short(), err)
	}
	r := Probe{Peer: p, Took: end.Sub(start), Offset: at.Sub(start.Add(end.Sub(start) / 2)), Seen: seen}
	if id, err := PeerIDFromProtocol(p); err == nil {
		for _, c := range h.lib.Network().ConnsToPeer(id) {
			if r.At == "" || !relayed(c) {
				r.At = c.RemoteMultiaddr().String()
			}
		}
	}
	return r, nil
}

// decodeProbe reads a response.
func decodeProbe(b []byte, want int) (at time.Time, seen string, err error) {
	if len(b) < probeHead {
		return at, "", fmt.Errorf("response of %d bytes", len(b))
	}
	n := int(binary.BigEndian.Uint16(b[8:]))
	if n > maxAddrLength || len(b) != probeHead+n+want {
		return at, "", errors.New("malformed response")
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(b))), cleanLine(string(b[probeHead : probeHead+n])), nil
}

// serveProbe answers within the peer's budget.
func (h *Host) serveProbe(_ context.Context, from protocol.PeerID, req []byte) ([]byte, error) {
	now := time.Now()
	if len(req) < 4 {
		return nil, Errorf(CodeBad, "a probe has at least 4 bytes")
	}
	want := binary.BigEndian.Uint32(req)
	if want > maxProbe {
		return nil, Errorf(CodeBad, "%d bytes wanted, at most %d", want, maxProbe)
	}
	if !h.probes.take(from, len(req)+int(want), now) {
		return nil, Errorf(CodeBusy, "enough was measured for this minute")
	}
	var seen string
	if id, err := PeerIDFromProtocol(from); err == nil {
		for _, c := range h.lib.Network().ConnsToPeer(id) {
			if seen == "" || !relayed(c) {
				seen = c.RemoteMultiaddr().String()
			}
		}
	}
	seen = seen[:min(len(seen), maxAddrLength)]
	out := binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano()))
	out = binary.BigEndian.AppendUint16(out, uint16(len(seen)))
	return append(append(out, seen...), make([]byte, want)...), nil
}

// probeBudget counts the bytes of probes in a window of time. The zero value is ready.
type probeBudget struct {
	mu    sync.Mutex
	since time.Time
	all   int
	peers map[protocol.PeerID]int
}

// take counts n bytes of a peer, unless that is too much.
func (b *probeBudget) take(p protocol.PeerID, n int, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.peers == nil || now.Sub(b.since) >= probeWindow {
		b.since, b.all, b.peers = now, 0, map[protocol.PeerID]int{}
	}
	if _, known := b.peers[p]; !known && len(b.peers) >= maxProbePeers || b.peers[p]+n > probePerPeer || b.all+n > probeForAll {
		return false
	}
	b.peers[p] += n
	b.all += n
	return true
}
