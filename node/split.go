package node

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"drystone/gossip"
	"drystone/protocol"
)

// A run can fall into parts that cannot reach each other, and a peer can be cut off, without an error anywhere: statements
// just stop. So every member asks the aggregators that it reaches how long their chain is and whom they reach, and says
// aloud what does not fit together. What they say is no proof, only reason for a warning: it takes as many of them as one
// honest must be among before their word is passed on.

const (
	watchEvery   = 15 * time.Second
	watchTwice   = 2 // sights in a row that must agree: a connection that is being replaced is no split
	headFor      = 5 * time.Second
	maxHeadPeers = 256 // aggregators named in a response
)

// headResponse answers callHead: how a member sees the run.
type headResponse struct {
	_       struct{}          `cbor:",toarray"`
	Length  uint64            // of its statement chain
	Last    protocol.Digest   // of the chain's last statement; zero if there is none
	Reaches []protocol.PeerID // aggregators that it is connected to
}

// sight is what one look at the network shows.
type sight struct {
	total, threshold int            // aggregators of the run, and how many it needs
	reached          int            // of them from here, this one included if it is one
	neighbours       int            // connected peers of any kind
	length           uint64         // of the chain here
	witnesses        int            // how many aggregators must say something for one honest to be among them
	heads            []headResponse // what the reached ones answered, this member not included
	last             protocol.Digest
	elsewhere        int // aggregators not reached from here that witnesses reach
	members, lost    int // that the DHT names, and that cannot be reached of them
}

// fewLost is how many members at least must be lost for it to be said: some leave without a word all the time.
const fewLost = 4

// trouble says in one line what does not fit, "" if all does.
func (s sight) trouble() string {
	switch {
	case s.neighbours == 0:
		return "no peer of the run can be reached: check this machine's network; nothing is lost, the run is joined again when it is back"
	case s.reached < s.threshold && s.elsewhere > 0:
		return fmt.Sprintf("only %d of %d aggregators can be reached from here, but others reach %d more: this machine's network or a firewall cuts it off", s.reached, s.total, s.elsewhere)
	case s.reached < s.threshold:
		return fmt.Sprintf("the network looks split: %d of %d aggregators can be reached, from here and from them, and the run needs %d; it goes on where enough are together, or when they meet again", s.reached, s.total, s.threshold)
	}
	ahead, fork := 0, 0
	for _, h := range s.heads {
		if h.Length > s.length+4 { // more than a round
			ahead++
		}
		if h.Length == s.length && h.Last != s.last {
			fork++
		}
	}
	switch {
	case fork >= s.witnesses:
		return fmt.Sprintf("the network looks split: %d aggregators have another statement %d than is known here", fork, s.length-1)
	case ahead >= s.witnesses:
		return fmt.Sprintf("%d aggregators are more than a round ahead of the %d statements that arrived here: the connection is too slow, or something holds statements back", ahead, s.length)
	case s.lost >= fewLost && 2*s.lost >= s.members:
		return fmt.Sprintf("the network looks split: of %d members that were there in the last half hour some %d cannot be reached from here, unless so many have left; the aggregators are here, and the run goes on", s.members, s.lost)
	}
	return ""
}

// watch turns sights into what to say: a trouble when it stays, and the end of it when that stays.
type watch struct {
	said, seen string
	times      int
}

// look returns what to say, and whether anything is to be said. An empty text is the end of a trouble. Numbers in a trouble
// change its text and are said again.
func (w *watch) look(text string) (string, bool) {
	if text != w.seen {
		w.seen, w.times = text, 0
	}
	w.times++
	if w.times < watchTwice || text == w.said {
		return "", false
	}
	w.said = text
	return text, true
}

// trouble is the newest warning about the network, "" if there is none; status shows it.
type trouble struct{ text atomic.Pointer[string] }

func (t *trouble) get() string {
	if p := t.text.Load(); p != nil {
		return *p
	}
	return ""
}

// serveHead answers how this member sees the run.
func (m *member) serveHead() {
	m.host.Handle(callHead, 0, func(context.Context, protocol.PeerID, []byte) ([]byte, error) {
		return protocol.Encode(m.head())
	})
}

func (m *member) head() headResponse {
	h := headResponse{Length: m.history.length(), Reaches: m.reached()}
	if h.Length > 0 {
		if s := m.history.at(h.Length - 1); s != nil {
			h.Last = s.Statement.Digest()
		}
	}
	h.Reaches = h.Reaches[:min(len(h.Reaches), maxHeadPeers)]
	return h
}

// reached returns the aggregators that this member is connected to, itself included.
func (m *member) reached() (out []protocol.PeerID) {
	council, _ := m.history.rules()
	if council == nil {
		return nil
	}
	for _, p := range append(m.host.Peers(), m.cfg.Key.ID()) {
		if _, ok := council.Member(p); ok {
			out = append(out, p)
		}
	}
	return out
}

// watchNetwork looks every so often until the member closes or the run is over, and reports changes as EventSplit.
func (m *member) watchNetwork() {
	m.spawn(func(ctx context.Context) {
		var w watch
		for waitFor(ctx, m.cfg.lookEvery) && m.history.rounds() < m.spec.Train.Rounds {
			text, say := w.look(m.sight(ctx).trouble())
			if !say || ctx.Err() != nil {
				continue
			}
			m.trouble.text.Store(&text)
			line := text
			if line == "" {
				line = "the network is whole again"
			}
			m.emit(Event{Kind: EventSplit, Text: line})
		}
	})
}

// sight asks the aggregators that are connected.
func (m *member) sight(ctx context.Context) sight {
	council, _ := m.history.rules()
	reached := m.reached()
	own := m.head()
	stats := m.host.Stats()
	s := sight{total: len(council.Members), threshold: council.Threshold, reached: len(reached), neighbours: len(m.host.Peers()),
		members: stats.Members, lost: stats.Away, length: own.Length, last: own.Last, witnesses: len(council.Members) - council.Threshold + 1}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, p := range reached {
		if p == m.cfg.Key.ID() {
			continue
		}
		all.Go(func() {
			data, err := m.callFor(ctx, headFor, p, callHead, nil, maxSmall)
			var h headResponse
			if err == nil {
				err = protocol.Decode(data, maxSmall, &h)
			}
			if err != nil || len(h.Reaches) > maxHeadPeers {
				m.cfg.Log.Debug("head", "aggregator", p.Short(), "err", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			s.heads = append(s.heads, h)
		})
	}
	all.Wait()
	s.elsewhere = elsewhere(council, reached, s.heads)
	return s
}

// elsewhere counts the aggregators that are not reached from here and that another one says it reaches.
func elsewhere(council *protocol.Council, reached []protocol.PeerID, heads []headResponse) (n int) {
	for _, a := range council.Members {
		if !slices.Contains(reached, a.ID) && slices.ContainsFunc(heads, func(h headResponse) bool { return slices.Contains(h.Reaches, a.ID) }) {
			n++
		}
	}
	return n
}

// Network is how a member sees the network of its run.
type Network struct {
	Aggregators int          `json:"aggregators"` // reached, itself included
	Peers       int          `json:"peers"`       // connected
	Relayed     int          `json:"relayed"`     // of them through a relay alone
	Members     int          `json:"members"`     // reachable ones that the DHT names
	Reach       gossip.Reach `json:"reach"`       // how others reach this one
	Trouble     string       `json:"trouble,omitempty"`
}

// network describes it.
func (m *member) network() Network {
	s := m.host.Stats()
	return Network{Aggregators: len(m.reached()), Peers: len(m.host.Peers()), Relayed: s.Relayed, Members: s.Members, Reach: s.Reach, Trouble: m.trouble.get()}
}
