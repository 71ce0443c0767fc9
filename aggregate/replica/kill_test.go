package replica

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"drystone/aggregate"
	"drystone/aggregate/internal/aggtest"
	"drystone/protocol"
)

// childDir names the environment variable that makes the test binary a replica to be killed.
const childDir = "REPLICA_TEST_CHILD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// alone is the Streams of a group of one.
type alone struct{}

func (alone) HandleStream(string, func(protocol.PeerID, net.Conn)) {}
func (alone) OpenStream(context.Context, protocol.PeerID, string) (net.Conn, error) {
	return nil, net.ErrClosed
}

func aloneConfig(dir string) (Config, *aggtest.World) {
	w := aggtest.New(func(s *protocol.RunSpec) { s.Quorum = protocol.QuorumSpec{Aggregators: 1, Threshold: 1} })
	quick := 20 * time.Millisecond
	return Config{Dir: dir, Self: w.Aggs[0].ID(), Members: w.Members(), Machine: w.Config(), Streams: alone{},
		Timing: Timing{Silence: quick, Heartbeat: quick, Election: quick, Lease: quick, Commit: quick}}, w
}

// child proposes ticks for ever and prints each one that was acknowledged.
func child(dir string) error {
	cfg, w := aloneConfig(dir)
	r, err := Open(cfg)
	if err != nil {
		return err
	}
	defer r.Close()
	ctx := context.Background()
	if err := r.Propose(ctx, w.Genesis()); err != nil {
		return err
	}
	var now int64
	r.Read(func(m *aggregate.Machine) { now = m.LoggedMilli() })
	for {
		now++
		if err := r.Propose(ctx, aggregate.TickRecord(now)); err != nil {
			return err
		}
		fmt.Println(now)
	}
}

// A member that is killed (SIGKILL) while it writes comes back with everything that it acknowledged, every time.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes; run without -short")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	last := int64(0)
	for i := range 4 {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		cmd.Stderr = testWriter{t, "child"}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < 5+7*i && lines.Scan(); n++ {
			last = acknowledged(t, lines.Text(), last)
		}
		cmd.Process.Kill()
		for lines.Scan() { // what it still said before it died
			last = acknowledged(t, lines.Text(), last)
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the child ended by itself")
		}
	}
	cfg, w := aloneConfig(dir)
	r, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.Propose(ctx, w.Genesis()); err != nil { // through the log, so everything before it is applied
		t.Fatal(err)
	}
	r.Read(func(m *aggregate.Machine) {
		if got := m.LoggedMilli(); got < last || last == 0 {
			t.Fatalf("came back at %d, acknowledged %d", got, last)
		}
	})
}

func acknowledged(t *testing.T, line string, last int64) int64 {
	t.Helper()
	n, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	if err != nil || n <= last {
		t.Fatalf("child said %q after %d", line, last)
	}
	return n
}
