package gossip

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"drystone/protocol"
)

// long runs what takes minutes: go test ./gossip -long
var long = flag.Bool("long", false, "run the long tests")

// testTimeout bounds waiting for something that must happen; no test waits for it to pass.
const testTimeout = 60 * time.Second

var testRun = protocol.Hash("test run")

const (
	overTCP  = "/ip4/127.0.0.1/tcp/0"
	overQUIC = "/ip4/127.0.0.1/udp/0/quic-v1"
)

// logTo routes the host's log to the test's.
func logTo(t *testing.T, who string) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: testLevel()})).With("host", who)
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) { w.t.Logf("%s", p); return len(p), nil }

// newHost starts host n; edit may change its configuration.
func newHost(t *testing.T, n int, edit func(*Config)) *Host {
	t.Helper()
	cfg := Config{Key: protocol.DeriveKey(1, fmt.Sprint("host", n)), Run: testRun, Logger: logTo(t, fmt.Sprint(n))}
	if edit != nil {
		edit(&cfg)
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func on(listen string) func(*Config) { return func(c *Config) { c.Listen = []string{listen} } }

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

func connect(t *testing.T, a, b *Host) {
	t.Helper()
	if err := a.Connect(testContext(t), b.Addrs()); err != nil {
		t.Fatal(err)
	}
}

func acceptAll(context.Context, protocol.PeerID, []byte) Verdict { return Accept }

// joined is a host's topic with a subscription.
type joined struct {
	*Topic
	*Subscription
}

func join(t *testing.T, h *Host, name string, validate ValidateFunc) joined {
	t.Helper()
	topic, err := h.Join(name, validate)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := topic.Subscribe(1024)
	if err != nil {
		t.Fatal(err)
	}
	return joined{topic, sub}
}

// next returns the next message, which must come.
func (j joined) next(t *testing.T) Message {
	t.Helper()
	m, err := j.Next(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func publish(t *testing.T, topic *Topic, data []byte) {
	t.Helper()
	if err := topic.Publish(testContext(t), data); err != nil {
		t.Fatal(err)
	}
}

func waitPeers(t *testing.T, topic *Topic, n int) {
	t.Helper()
	if err := topic.WaitPeers(testContext(t), n); err != nil {
		t.Fatal(err)
	}
}

// testLevel is debug with DRYSTONE_TEST_LOG set.
func testLevel() slog.Level {
	if os.Getenv("DRYSTONE_TEST_LOG") != "" {
		return slog.LevelDebug
	}
	return slog.LevelWarn
}

// eventually waits for a condition that must come.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx := testContext(t)
	for !is() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not in time", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
