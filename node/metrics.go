package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"drystone/gossip"
)

// metric is one family of metrics. docs/operating.md lists them all, which a test holds against this table.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string
}

const (
	gauge = prometheus.GaugeValue
	count = prometheus.CounterValue
)

// The metrics of every member, then those of aggregators alone. Labels have few values: peers are none.
var metricTable = []metric{
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

	{"drystone_round", "Round under way.", gauge, nil},
	{"drystone_phase", "1 for the present phase.", gauge, []string{"phase"}},
	{"drystone_phase_seconds", "How long the present phase has lasted.", gauge, nil},
	{"drystone_round_phase_seconds", "How long each phase of the last certified round lasted; merge is the merge and its certification.", gauge, []string{"phase"}},
	{"drystone_records_total", "Leaves that this process saw logged, by type: commits, verdicts and others.", count, []string{"type"}},
	{"drystone_roster_peers", "Peers of the newest round by state.", gauge, []string{"state"}},
	{"drystone_checks", "Verdicts that the present aggregators have given.", gauge, nil},
	{"drystone_faults", "Faults of the present aggregators.", gauge, nil},
	{"drystone_epochs_settled", "Last settled epoch.", gauge, nil},
	{"drystone_log_leaves", "Leaves of the transparency log.", gauge, nil},
	{"drystone_raft_leader", "1 if this aggregator leads.", gauge, nil},
	{"drystone_raft_has_leader", "1 if this aggregator knows of a leader.", gauge, nil},
	{"drystone_raft_term", "Raft term.", gauge, nil},
	{"drystone_raft_applied_index", "Last record applied.", gauge, nil},
	{"drystone_raft_commit_lag", "Records that are committed and not yet applied here.", gauge, nil},
}

const callSeconds = "drystone_call_seconds"

// collector reads a member's state at every scrape; nothing is kept for it.
type collector struct {
	role  string
	m     *member
	a     *Aggregator // nil for a trainer
	descs map[string]*prometheus.Desc
	kinds map[string]prometheus.ValueType
	calls *prometheus.Desc
}

func newCollector(role string, m *member, a *Aggregator) *collector {
	c := &collector{role: role, m: m, a: a, descs: map[string]*prometheus.Desc{}, kinds: map[string]prometheus.ValueType{},
		calls: prometheus.NewDesc(callSeconds, "How long calls to others took.", []string{"role", "call"}, nil)}
	for _, x := range metricTable {
		c.descs[x.name], c.kinds[x.name] = prometheus.NewDesc(x.name, x.help, x.labels, nil), x.kind
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
	ch <- c.calls
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	put := func(name string, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(c.descs[name], c.kinds[name], value, labels...)
	}
	c.network(put)
	for name, t := range c.m.host.Traffic().Calls {
		buckets := make(map[float64]uint64, len(gossip.CallBounds))
		for i, bound := range gossip.CallBounds {
			buckets[bound] = t.Within[i]
		}
		ch <- prometheus.MustNewConstHistogram(c.calls, t.Count, t.Seconds, buckets, c.role, name)
		put("drystone_call_failures_total", float64(t.Failed), c.role, name)
	}
	put("drystone_rounds_certified", float64(c.m.history.rounds()), c.role)
	if c.a != nil {
		c.council(put)
	}
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
}

func (c *collector) council(put func(string, float64, ...string)) {
	v, r := c.a.view(), c.a.replica.Figures()
	inPhase, rounds := c.a.timings.read(time.Now())
	put("drystone_round", float64(v.Round))
	put("drystone_phase", 1, v.Phase.String())
	put("drystone_phase_seconds", inPhase)
	if n := len(rounds); n > 0 {
		for phase, s := range rounds[n-1].Seconds {
			put("drystone_round_phase_seconds", s, phase)
		}
	}
	for name, n := range c.a.timings.records() {
		put("drystone_records_total", float64(n), name)
	}
	states := map[string]int{}
	for _, p := range peerStates(&v) {
		states[p.State]++
	}
	for state, n := range states {
		put("drystone_roster_peers", float64(n), state)
	}
	var checks, faults uint64
	for _, a := range v.Aggregators {
		checks, faults = checks+uint64(a.Checks), faults+uint64(a.Faults)
	}
	put("drystone_checks", float64(checks))
	put("drystone_faults", float64(faults))
	put("drystone_epochs_settled", float64(v.Settled))
	put("drystone_log_leaves", float64(v.LogSize))
	put("drystone_raft_leader", oneIf(r.Leads))
	_, known := c.a.replica.Leader()
	put("drystone_raft_has_leader", oneIf(known))
	put("drystone_raft_term", float64(r.Term))
	put("drystone_raft_applied_index", float64(r.Applied))
	put("drystone_raft_commit_lag", float64(r.Committed-min(r.Committed, r.Applied)))
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// ServeMetrics serves the aggregator's metrics until it closes; see serveMetrics.
func (a *Aggregator) ServeMetrics(addr string) (string, error) {
	return a.serveMetrics(addr, newCollector("aggregator", &a.member, a))
}

// ServeMetrics serves the trainer's metrics until it closes; see serveMetrics.
func (t *Trainer) ServeMetrics(addr string) (string, error) {
	return t.serveMetrics(addr, newCollector("trainer", &t.member, nil))
}

// serveMetrics serves /metrics in the Prometheus text format, with those of the Go runtime and the process, on a TCP address
// such as 127.0.0.1:9100 or :9100, which is loopback too; to be reachable from elsewhere the host must be named. It
// returns the address that it listens on, which tells the port if that was 0.
func (m *member) serveMetrics(addr string, c *collector) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("metrics address %q: want HOST:PORT or :PORT: %w", addr, err)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return "", fmt.Errorf("metrics: cannot listen, choose another address: %w", err)
	}
	r := prometheus.NewRegistry()
	r.MustRegister(c, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 20 * time.Second, MaxHeaderBytes: 16 << 10}
	m.spawn(func(context.Context) {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			m.cfg.Log.Warn("metrics", "err", err)
		}
	})
	m.spawn(func(ctx context.Context) { <-ctx.Done(); s.Close() })
	return l.Addr().String(), nil
}
