package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"drystone/node"
	"drystone/protocol"
)

// The rewritten line says what goes on and what the network does; elsewhere than on a terminal there is none, and after close
// nothing is drawn.
func TestProgressPulse(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&terminal{err: &out}, &protocol.RunSpec{}, 1)
	p.status("joining")
	p.pulse(node.Pulse{Peers: 4})
	if out.Len() > 0 {
		t.Errorf("without a terminal: %q", out.String())
	}
	p.live = true
	p.status("round 3: step 2")
	p.pulse(node.Pulse{Peers: 7, Mesh: 5, Up: 125e3, Down: 2.5e6, Fetches: 1, Done: 12.3e6, Size: 40e6, Left: 11500 * time.Millisecond})
	lines := strings.Split(out.String(), "\r\x1b[K")
	if want := "round 3: step 2  7 peers, mesh 5, up 1.0 Mbit/s, down 20.0 Mbit/s; fetching 12.3 of 40.0 MB, 12s left"; lines[len(lines)-1] != want {
		t.Errorf("the line is %q, want %q", lines[len(lines)-1], want)
	}
	p.line("a line that stays")
	p.status("round 4")
	if !strings.HasSuffix(out.String(), "\r\x1b[Ka line that stays\n\r\x1b[Kround 4  7 peers, mesh 5, up 1.0 Mbit/s, down 20.0 Mbit/s; fetching 12.3 of 40.0 MB, 12s left") {
		t.Errorf("with a line between: %q", out.String())
	}
	p.close()
	out.Reset()
	p.pulse(node.Pulse{Peers: 9})
	if out.Len() > 0 {
		t.Errorf("after close: %q", out.String())
	}
}
