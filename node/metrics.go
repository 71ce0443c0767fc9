package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
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

// metricTable has the metrics of every member, those of the machine's cards, then those of aggregators alone. Labels have few values: peers are none, but for
// the aggregators.
var metricTable = slices.Concat(networkMetrics, cardMetrics, councilMetrics)

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
	if c.m.cfg.Cards != nil {
		c.cards(put)
	}
	if c.a != nil {
		c.council(put)
	}
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
