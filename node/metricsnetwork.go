package node

import "drystone/gossip"

var networkMetrics = []metric{
	{"drystone_peers", "Peers connected now.", gauge, []string{"role"}},
	{"drystone_mesh_peers", "Neighbours in the gossip mesh of a topic now.", gauge, []string{"role", "topic"}},
	{"drystone_protocol_bytes_total", "Bytes of streams by protocol.", count, []string{"role", "protocol", "direction"}},
	{"drystone_topic_bytes_total", "Bytes of gossiped messages by topic; every copy sent counts.", count, []string{"role", "topic", "direction"}},
	{"drystone_topic_messages_total", "Gossiped messages by topic; every copy sent counts.", count, []string{"role", "topic", "direction"}},
	{"drystone_blob_bytes_total", "Bytes of blob pieces.", count, []string{"role", "direction"}},
	{"drystone_blob_busy_total", "Requests for pieces that were told to come back later.", count, []string{"role"}},
	{"drystone_messages_limited_total", "Messages cut off because a neighbour exceeded its rate.", count, []string{"role"}},
	{"drystone_messages_dropped_total", "Messages dropped because too many waited for validation.", count, []string{"role"}},
	{"drystone_messages_lost_total", "Messages lost because a subscription's buffer was full.", count, []string{"role"}},
	{"drystone_held_bytes", "Bytes of messages held until they can be judged.", gauge, []string{"role"}},
	{"drystone_call_failures_total", "Calls to others that failed.", count, []string{"role", "call"}},
	{"drystone_rounds_certified", "Rounds that the verified statement chain has certified.", gauge, []string{"role"}},
	{"drystone_relayed_peers", "Peers connected now through a relay alone.", gauge, []string{"role"}},
	{"drystone_reach", "1 for how others can reach this host: public, private, out, or auto while that is not known.", gauge, []string{"role", "reach"}},
	{"drystone_relays", "Relays that lead to this host now.", gauge, []string{"role"}},
	{"drystone_holes_total", "Holes through routers that were punched, or could not be.", count, []string{"role", "result"}},
	{"drystone_dht_members", "Reachable members that the DHT named at the last lookup.", gauge, []string{"role"}},
	{"drystone_dht_peers", "Peers in the DHT's routing table.", gauge, []string{"role"}},
	{"drystone_known_peers", "Peers in the address book.", gauge, []string{"role"}},
	{"drystone_aggregators_reached", "Aggregators connected now, oneself included.", gauge, []string{"role"}},
	{"drystone_network_trouble", "1 while the network looks split or this machine cut off.", gauge, []string{"role"}},
	{"drystone_shunned_peers", "Peers shunned now for their conduct in the blob exchange.", gauge, []string{"role"}},
	{"drystone_fetches", "Blobs that are being fetched now.", gauge, []string{"role"}},
	{"drystone_fetch_missing_bytes", "Bytes that these fetches still lack, as far as sizes are known.", gauge, []string{"role"}},
	{"drystone_events_total", "What happened, by kind: warnings, splits, convictions and others.", count, []string{"role", "event"}},
	{"drystone_trained_total", "Tokens, or examples, that this process trained on.", count, []string{"role"}},
}

func (c *collector) network(put func(string, float64, ...string)) {
	t, s := c.m.host.Traffic(), c.m.host.Stats()
	put("drystone_peers", float64(t.Peers), c.role)
	for name, b := range t.Protocols {
		put("drystone_protocol_bytes_total", float64(b.In), c.role, name, "in")
		put("drystone_protocol_bytes_total", float64(b.Out), c.role, name, "out")
	}
	for name, x := range t.Topics {
		put("drystone_mesh_peers", float64(x.Mesh), c.role, name)
		put("drystone_topic_bytes_total", float64(x.In.Bytes), c.role, name, "in")
		put("drystone_topic_bytes_total", float64(x.Out.Bytes), c.role, name, "out")
		put("drystone_topic_messages_total", float64(x.In.Messages), c.role, name, "in")
		put("drystone_topic_messages_total", float64(x.Out.Messages), c.role, name, "out")
	}
	put("drystone_blob_bytes_total", float64(s.BlobDown), c.role, "in")
	put("drystone_blob_bytes_total", float64(s.BlobUp), c.role, "out")
	put("drystone_blob_busy_total", float64(s.Busy), c.role)
	put("drystone_messages_limited_total", float64(s.Cut), c.role)
	put("drystone_messages_dropped_total", float64(s.Dropped), c.role)
	put("drystone_messages_lost_total", float64(s.Lost), c.role)
	put("drystone_held_bytes", float64(s.Held), c.role)
	c.reach(put, &s)
	c.happened(put)
}

// reach is how the host reaches others, is reached, and what it fetches.
func (c *collector) reach(put func(string, float64, ...string), s *gossip.Stats) {
	put("drystone_relayed_peers", float64(s.Relayed), c.role)
	for _, r := range []gossip.Reach{gossip.ReachAuto, gossip.ReachPublic, gossip.ReachPrivate, gossip.ReachOut} {
		put("drystone_reach", oneIf(s.Reach == r), c.role, string(r))
	}
	put("drystone_relays", float64(s.Relays), c.role)
	put("drystone_holes_total", float64(s.Punched), c.role, "punched")
	put("drystone_holes_total", float64(s.Unpunched), c.role, "failed")
	put("drystone_dht_members", float64(s.Members), c.role)
	put("drystone_dht_peers", float64(s.Table), c.role)
	put("drystone_known_peers", float64(s.Known), c.role)
	put("drystone_aggregators_reached", float64(len(c.m.reached())), c.role)
	put("drystone_network_trouble", oneIf(c.m.trouble.get() != ""), c.role)
	put("drystone_shunned_peers", float64(s.Shunned), c.role)
	put("drystone_fetches", float64(len(s.Fetches)), c.role)
	var missing int64
	for _, f := range s.Fetches {
		missing += max(f.Size-f.Done, 0)
	}
	put("drystone_fetch_missing_bytes", float64(missing), c.role)
}

// happened is what the member has told of.
func (c *collector) happened(put func(string, float64, ...string)) {
	var trained float64
	for kind, e := range c.m.told.read() {
		put("drystone_events_total", float64(e.n), c.role, kind)
		if kind == string(EventTrained) {
			trained = e.sum
		}
	}
	put("drystone_trained_total", trained, c.role)
}
