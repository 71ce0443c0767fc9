package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// simulated is a figure that the tests of a package measure in the fake clock of a simulated network. A test prints a row as the
// line
//
//	figure NAME|case|value|note
//
// so that what is published and what the test holds to a bound are one number. It does not depend on the machine.
func simulated(f Figure, dir, run string) Figure {
	f.Measure = func(ctx context.Context, e *Env) ([]Row, error) {
		binary := filepath.Join(e.tmp, f.Name+".test")
		build := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, ".")
		build.Dir = filepath.Join(e.Root, dir)
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build the tests of %s: %w\n%s", dir, err, out)
		}
		cmd := exec.CommandContext(ctx, binary, "-test.v", "-test.timeout", "0", "-test.run", run, "-long")
		cmd.Dir = build.Dir
		out, err := cmd.CombinedOutput()
		rows, bad := simulatedRows(f.Name, out)
		if err != nil {
			return rows, fmt.Errorf("%s of %s: %w: %s", run, dir, err, failure(out))
		}
		return rows, bad
	}
	return f
}

// simulatedRows reads the rows of a figure from what tests print.
func simulatedRows(name string, out []byte) (rows []Row, err error) {
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		_, row, found := strings.Cut(lines.Text(), "figure "+name+"|")
		if !found {
			continue
		}
		parts := strings.SplitN(row, "|", 3)
		if len(parts) < 3 {
			return rows, fmt.Errorf("row %q: want case, value and note", row)
		}
		x, err := strconv.ParseFloat(parts[1], 64)
		if err != nil {
			return rows, fmt.Errorf("row %q: %w", row, err)
		}
		rows = append(rows, Row{Case: parts[0], Stats: exactly(x, 1), Note: parts[2]})
	}
	return rows, lines.Err()
}

// failure returns the lines that say why a test failed.
func failure(out []byte) string {
	var why []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "FAIL") || strings.Contains(line, "_test.go") || strings.HasPrefix(line, "panic") {
			why = append(why, strings.TrimSpace(line))
		}
	}
	return strings.Join(why[max(0, len(why)-5):], "; ")
}

var joinTime = simulated(Figure{
	Name:   "join-time",
	What:   "from joining to ready for the next Open, over simulated lines of 100 Mbit/s down and 20 up, 100 ms round trip: spec, statement chain confirmed by a quorum, data and a state of 43 MB. Computing not counted",
	Unit:   "s",
	Target: Target{Of: "value", Cmp: "<=", Bound: 15},
	Needs:  "half a minute",
	Limit:  5 * time.Minute,
}, "node", "^TestJoinTime$")

var joinDonors = simulated(Figure{
	Name:   "join-donors",
	What:   "how many times as fast a state of 44 MB arrives from 8 donors as from one with the same uplink of 20 Mbit/s, over a simulated line of 100 Mbit/s down",
	Unit:   "times",
	Target: Target{Of: "value", Cmp: ">=", Bound: 4},
	Needs:  "half a minute",
	Limit:  5 * time.Minute,
}, "gossip", "^TestDonorsAddUp$")

var churn64 = simulated(Figure{
	Name:   "churn-64",
	What:   "rounds certified of 8, with every peer that stayed in each and one state in the end, of a run whose peers come and go: 64 processes, 20 to 300 ms, 20 to 1000 Mbit/s, 5 % leaving and joining each round",
	Unit:   "rounds",
	Target: Target{Of: "value", Cmp: ">=", Bound: 8},
	Needs:  "minutes",
	Limit:  20 * time.Minute,
}, "node", "^TestChurn$")

var commOverhead = simulated(Figure{
	Name:   "comm-overhead",
	What:   "share of wall time that trainers of the 10.8 M model do not compute at 30 steps a round, over simulated lines of 100 Mbit/s down and 20 up with 100 ms round trip; the time that computing takes is that of step-tokens with AVX-512",
	Unit:   "%",
	Target: Target{Of: "value", Cmp: "<=", Bound: 5},
	Needs:  "20 minutes, 10 GB of memory, 20 GB of disk",
	Limit:  40 * time.Minute,
}, "node", "^TestCommOverhead$")

// bytesPerPeer holds each row to the least that is wanted of it.
var bytesPerPeer = func() Figure {
	f := simulated(Figure{
		Name: "bytes-per-peer",
		What: "how many times below dense float32 a trainer of the 10.8 M model sends (up) and gets (down) in a round of 30 steps: payloads of " +
			"the second round of real training on short sequences, and the same on the wire, one copy, with the messages around them, " +
			"the frames of gossip and blobs, QUIC, UDP and IPv4, over simulated lines. Statements are not in it: comm-overhead counts all packets",
		Unit:   "times",
		Target: Target{Of: "ratio", Cmp: ">=", Bound: 1},
		Needs:  "20 minutes, 8 GB of memory",
		Limit:  60 * time.Minute,
	}, "node", "^TestBytesPerPeer$")
	measure := f.Measure
	f.Measure = func(ctx context.Context, e *Env) ([]Row, error) {
		rows, err := measure(ctx, e)
		for i := range rows {
			for what, least := range leastBelow {
				if strings.HasSuffix(rows[i].Case, what) {
					rows[i].Other = &Other{"wanted at least", *exactly(least, 1)}
				}
			}
		}
		return rows, err
	}
	return f
}()

// leastBelow is how many times below dense float32 the rows of bytes-per-peer are to be.
var leastBelow = map[string]float64{"up, payload": 200, "up, on the wire": 180, "down, payload": 50, "down, on the wire": 50}

var hostilePeers = simulated(Figure{
	Name:   "hostile-peers",
	What:   "how much longer rounds of honest trainers take among strangers who flood, send garbage, withhold, replay and stall, over simulated lines of 100 Mbit/s down and 20 up with 100 ms round trip",
	Unit:   "%",
	Target: Target{Of: "value", Cmp: "<=", Bound: 5},
	Needs:  "minutes",
	Limit:  15 * time.Minute,
}, "node", "^TestHostilePeers$")

var topicTraffic = simulated(Figure{
	Name:  "topic-traffic",
	What:  "bytes that a trainer sends and receives in a round, packets' framing included, without blobs: its reveals of 4 shards of 16 KiB each to the shards' owners, the statements, and the upkeep of connections for 20 s, among 10, 100 and 1000 trainers",
	Unit:  "bytes",
	Needs: "minutes, 6 GB of memory",
	Limit: 20 * time.Minute,
}, "gossip", "^TestTrafficPerPeerIsFlat$")
