package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"drystone/node"
	"drystone/protocol"
)

// patience is for conditions that must come true: far more than they take.
const patience = 100 * time.Second

// process is a drystone that runs beside the test.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended

	mu      sync.Mutex
	out     []string // lines of standard output
	err     []string
	changed chan struct{} // closed and replaced at every line
}

// startIn runs drystone with its home in dir, behind a command that runs another, such as one that enters a network namespace.
func startIn(t *testing.T, prefix []string, name, home string, args ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	line := append(append(slices.Clone(prefix), exe), args...)
	p := &process{t: t, name: name, cmd: exec.Command(line[0], line[1:]...), done: make(chan struct{}), changed: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), asMain+"=1", "HOME="+home)
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	readers.Go(func() { p.read(stdout, &p.out) })
	readers.Go(func() { p.read(stderr, &p.err) })
	go func() {
		readers.Wait()
		p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s: %v\n  %s", name, p.cmd.ProcessState, strings.Join(p.lines(&p.err), "\n  "))
		}
		for _, l := range p.lines(&p.err) {
			if strings.HasPrefix(l, "panic:") || strings.HasPrefix(l, "fatal error:") {
				t.Errorf("%s: %s", name, l)
			}
		}
	})
	return p
}

func (p *process) read(from io.Reader, into *[]string) {
	s := bufio.NewScanner(from)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		p.mu.Lock()
		*into = append(*into, s.Text())
		close(p.changed)
		p.changed = make(chan struct{})
		p.mu.Unlock()
	}
}

func (p *process) lines(of *[]string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), *of...)
}

// await returns the first line that holds text.
func (p *process) await(of *[]string, text string) string {
	p.t.Helper()
	return p.awaitLine(of, patience, func(l string) bool { return strings.Contains(l, text) }, text)
}

// awaitLine returns the first line that is as wanted; what describes it.
func (p *process) awaitLine(of *[]string, within time.Duration, wanted func(string) bool, what string) string {
	p.t.Helper()
	limit := time.NewTimer(within)
	defer limit.Stop()
	for {
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()
		for _, l := range p.lines(of) {
			if wanted(l) {
				return l
			}
		}
		select {
		case <-changed:
		case <-p.done:
			p.t.Fatalf("%s ended without saying %q", p.name, what)
		case <-limit.C:
			p.t.Fatalf("%s does not say %q", p.name, what)
		}
	}
}

// kill is kill -9.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// stop asks the process to end, and wants a clean end.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Errorf("%s: %v", p.name, err)
	}
	p.wait(0)
}

// wait waits for the end and wants this exit code.
func (p *process) wait(code int) {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("%s does not end", p.name)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Errorf("%s: exit code %d, want %d", p.name, got, code)
	}
}

// network is a run of processes on loopback.
type network struct {
	t    *testing.T
	dir  string
	seed uint64
	link string
	aggs [4]*process // the founder first
	data []byte
	spec protocol.RunSpec
	// place, if not nil, says what starts a process and which more flags it gets.
	place func(name string) (prefix, flags []string)
}

// start runs a process where it belongs.
func (n *network) start(name string, args ...string) *process {
	n.t.Helper()
	var prefix, flags []string
	if n.place != nil {
		prefix, flags = n.place(name)
	}
	return startIn(n.t, prefix, name, n.dir, append(args, flags...)...)
}

// newNetwork writes keys, data and a run spec.
func newNetwork(t *testing.T, seed uint64, rounds, startPeers uint32) *network {
	t.Helper()
	return newNetworkOf(t, seed, rounds, startPeers, protocol.DeadlineSpec{Train: 3600, Reveal: 600, Check: 8}, 2)
}

// newNetworkOf also says how long a round waits, and how many may stay unchecked.
func newNetworkOf(t *testing.T, seed uint64, rounds, startPeers uint32, deadlines protocol.DeadlineSpec, window uint32) *network {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("processes are ended by signals, which Windows lacks")
	}
	n := &network{t: t, dir: t.TempDir(), seed: seed}
	n.data = []byte(strings.Repeat("many hands build a wall that no mortar holds. ", 500))
	if err := os.WriteFile(n.file("data.txt"), n.data, 0o600); err != nil {
		t.Fatal(err)
	}
	s := node.TinySpec(seed, rounds, startPeers)
	s.Aggregate = node.DefaultSpec().Aggregate
	s.Aggregate.MinPeers, s.Aggregate.StartPeers = 1, startPeers
	s.Payout.EpochRounds = 2
	s.Train.MinShards = 1
	s.Deadlines = deadlines // check: after which the duties of one who is away pass on
	s.Verify.Window = window
	s.Founder = n.key("aggregator-0").ID()
	n.spec = node.WithData(s, n.data)
	text := fmt.Sprintf(`name = %q
seed = %d
[model]
dim = %d
layers = 1
heads = 2
kv_heads = 2
ffn = %d
context = %d
[train]
rounds = %d
steps = %d
segment = %d
batch = %d
warmup = %d
min_shards = 1
[codec]
top_k = %d
shard_params = %d
[aggregate]
min_peers = 1
start_peers = %d
[verify]
window = %d
[payout]
epoch_rounds = 2
[deadlines]
train = %d
reveal = %d
check = %d
`, s.Name, seed, s.Model.Dim, s.Model.FFN, s.Model.Context, rounds, s.Train.Steps, s.Train.Segment, s.Train.Batch, s.Train.Warmup,
		s.Codec.TopK, s.Codec.ShardParams, startPeers, window, s.Deadlines.Train, s.Deadlines.Reveal, s.Deadlines.Check)
	if err := os.WriteFile(n.file("run.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *network) file(name string) string { return filepath.Join(n.dir, name) }

// key writes a known key, once.
func (n *network) key(name string) protocol.Key {
	n.t.Helper()
	k := protocol.DeriveKey(n.seed, name)
	path := n.file(name + ".json")
	if _, err := os.Stat(path); err != nil {
		if err := node.WritePlainKey(path, k); err != nil {
			n.t.Fatal(err)
		}
	}
	return k
}

// launch starts, or starts again, the founder.
func (n *network) launch() {
	n.t.Helper()
	p := n.start("launch", "launch", n.file("run.toml"), "--data", n.file("data.txt"), "--dir", n.file("launch"), "--key", n.file("aggregator-0.json"), "--threads", "1")
	link := p.await(&p.out, "drystone:")
	if n.link != "" && n.link != link {
		n.t.Errorf("the run link changed over a restart: %s, before %s", link, n.link)
	}
	n.link, n.aggs[0] = link, p
}

// aggregate starts, or starts again, one of the others.
func (n *network) aggregate(i int) {
	n.t.Helper()
	name := fmt.Sprintf("aggregator-%d", i)
	n.key(name)
	n.aggs[i] = n.start(name, "aggregate", n.link, "--dir", n.file(name), "--key", n.file(name+".json"), "--threads", "1")
}

// restart starts an aggregator again, whoever it is.
func (n *network) restart(i int) {
	if i == 0 {
		n.launch()
	} else {
		n.aggregate(i)
	}
}

func (n *network) begin() {
	n.launch()
	for i := 1; i < 4; i++ {
		n.aggregate(i)
	}
}

// linkOf is the link that leads to one aggregator.
func (n *network) linkOf(i int) string {
	if i == 0 {
		return n.link
	}
	return n.aggs[i].await(&n.aggs[i].out, "drystone:")
}

func (n *network) join(name string, flags ...string) *process {
	n.t.Helper()
	n.key(name)
	args := append([]string{"join", n.link, "--dir", n.file(name), "--key", n.file(name + ".json"), "--threads", "1", "--json"}, flags...)
	return n.start(name, args...)
}

// status runs the command with a link that answers.
func (n *network) status(link string) (s node.Status, err error) {
	code, out, errOut := command(n.t, "status", link, "--json")
	if code != 0 {
		return s, fmt.Errorf("status: exit code %d: %s", code, errOut)
	}
	return s, json.Unmarshal([]byte(out), &s)
}

// until asks for the status until it is as wanted.
func (n *network) until(link, what string, ok func(node.Status) bool) node.Status {
	n.t.Helper()
	end := time.Now().Add(patience)
	for {
		s, err := n.status(link)
		if err == nil && ok(s) {
			return s
		}
		if time.Now().After(end) {
			n.t.Fatalf("not in time: %s; phase %s of round %d, %v", what, s.View.Phase, s.View.Round, err)
		}
	}
}

func (n *network) result(p *process) (r joinResult) {
	n.t.Helper()
	p.wait(0)
	text := strings.Join(p.lines(&p.out), "\n")
	if err := json.NewDecoder(bytes.NewReader([]byte(text))).Decode(&r); err != nil {
		n.t.Fatalf("%s: %v in %s", p.name, err, text)
	}
	return r
}
