package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"drystone/gossip"
	"drystone/protocol"
)

// enterFor is how long a newcomer whose link is dead waits for a neighbour from elsewhere: the address book, other known
// peers, the local network.
const enterFor = 20 * time.Second

// enter connects to a peer of the link or, if none answers, waits for whoever else discovery finds.
func (m *member) enter(ctx context.Context, link gossip.Link) error {
	err := fmt.Errorf("run link of %s names no peer", m.run.Short())
	if others := m.others(link.Addrs); len(others) > 0 {
		err = m.host.Connect(ctx, others)
	}
	if err == nil {
		return nil
	}
	patience := enterFor
	if len(m.cfg.Peers) == 0 && len(m.cfg.Listen) == 0 && m.host.Stats().Known == 0 {
		patience = 0 // nobody could come
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for len(m.host.Peers()) == 0 {
		if !waitFor(wait, 100*time.Millisecond) {
			return fmt.Errorf("no peer of the run link answers; is it current, and is the launcher up? %w", err)
		}
	}
	return nil
}

// entrances returns whom to ask before the council is known: the link's peers, then the neighbours.
func (m *member) entrances(link gossip.Link) []protocol.PeerID {
	peers := linkPeers(link)
	for _, p := range m.host.Peers() {
		if !slices.Contains(peers, p) {
			peers = append(peers, p)
		}
	}
	return peers
}

// seekEvery is how often the DHT is asked where an aggregator is that its known addresses do not lead to.
const seekEvery = 30 * time.Second

// stayConnected dials aggregators of the Genesis that are not connected, until the member closes.
func (m *member) stayConnected() {
	m.spawn(func(ctx context.Context) {
		sought := map[protocol.PeerID]time.Time{}
		for {
			if council, _ := m.history.rules(); council != nil {
				for _, p := range m.dialMissing(ctx, council) {
					if time.Since(sought[p]) < seekEvery {
						continue
					}
					sought[p] = time.Now()
					if err := m.host.Find(ctx, p); err != nil && ctx.Err() == nil {
						m.cfg.Log.Debug("aggregator not found", "aggregator", p.Short(), "err", err)
					}
				}
			}
			if !waitFor(ctx, pollEvery) {
				return
			}
		}
	})
}

// dialMissing dials aggregators that are not connected and returns those that do not answer at their known addresses.
func (m *member) dialMissing(ctx context.Context, council *protocol.Council) (missing []protocol.PeerID) {
	connected := map[protocol.PeerID]bool{m.cfg.Key.ID(): true}
	for _, p := range m.host.Peers() {
		connected[p] = true
	}
	for _, a := range council.Members {
		if connected[a.ID] {
			continue
		}
		dial, cancel := context.WithTimeout(ctx, 10*time.Second)
		if err := m.host.Connect(dial, a.Addrs); err != nil && ctx.Err() == nil {
			missing = append(missing, a.ID)
			m.cfg.Log.Debug("aggregator out of reach", "aggregator", a.ID.Short(), "err", err)
		}
		cancel()
	}
	return missing
}
