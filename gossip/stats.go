package gossip

import (
	"bytes"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"

	"drystone/protocol"
)

// Stats are counts since the host started: of what was dropped for lack of room, each also logged, of blob traffic, and
// what the host is at now.
type Stats struct {
	Cut     uint64 // messages of neighbours beyond Config.MessageRate or ByteRate
	Dropped uint64 // messages that came faster than they could be validated
	Lost    uint64 // deliveries to subscriptions whose buffer was full
	Held    int    // bytes held now by the verdict Later, each message counted as at least 128 KiB

	BlobUp, BlobDown uint64 // bytes of pieces sent and received
	Busy             uint64 // requests for pieces that were told to come back later
	Shunned          int    // peers that are neither asked for blobs nor served any
	Unheard          int    // neighbours to whose gossip nobody listens here

	Reach     Reach  // how others reach this host, as far as it knows
	Relayed   int    // peers connected now through a relay alone
	Relays    int    // relays now that lead to this host
	Punched   uint64 // holes punched, or relayed connections replaced by direct ones
	Unpunched uint64 // holes that could not be punched
	Members   int    // reachable members that the DHT named at the last lookup
	Away      int    // of these that cannot be reached, estimated from those that were dialled after it
	Table     int    // peers in the DHT's routing table
	Known     int    // peers in the address book

	Fetches []FetchStats // of blobs, under way now, in order of digest
}

// FetchStats says how far the fetch of a blob is.
type FetchStats struct {
	Blob       protocol.Digest
	Done, Size int64 // bytes verified, and in all; Size is 0 until it is known
}

// Stats returns the host's counts.
func (h *Host) Stats() Stats {
	s := Stats{Cut: h.quota.cut.n.Load(), Dropped: h.dropped.n.Load(), Held: h.hold.size(),
		BlobUp: h.blobs.sent.Load(), BlobDown: h.blobs.received.Load(), Busy: h.blobs.busy.Load(), Shunned: h.blobs.conduct.count(), Unheard: h.standings.unheard()}
	h.reachStats(&s)
	s.Fetches = h.blobs.fetching()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.topics {
		s.Lost += t.lost.n.Load()
	}
	return s
}

func (b *blobExchange) fetching() (out []FetchStats) {
	b.mu.Lock()
	fetches := slices.Collect(maps.Values(b.fetches))
	b.mu.Unlock()
	for _, f := range fetches {
		f.mu.Lock()
		out = append(out, FetchStats{Blob: f.d, Done: f.done, Size: f.size})
		f.mu.Unlock()
	}
	slices.SortFunc(out, func(a, b FetchStats) int { return bytes.Compare(a.Blob[:], b.Blob[:]) })
	return out
}

// counter counts losses and logs the 1st, 2nd, 4th, 8th..., so that a flood of them is no flood of lines.
type counter struct {
	log  *slog.Logger
	what string
	n    atomic.Uint64
}

func (c *counter) add(args ...any) {
	if n := c.n.Add(1); n&(n-1) == 0 {
		c.log.Warn(c.what, append(args, "so far", n)...)
	}
}
