package gossip

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"drystone/protocol"
)

// On a line of 20 ms each way and 20 Mbit/s, in a fake clock: round trip, clock, addresses and time of a transfer are what
// they must be.
func TestProbe(t *testing.T) {
	simulate(t, func(t *testing.T, host func(func(*Config)) *Host) {
		a, b := host(nil), host(nil)
		connect(t, a, b)
		time.Sleep(time.Second)
		p, err := a.Probe(t.Context(), b.ID(), 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if p.Took < 40*time.Millisecond || p.Took > 100*time.Millisecond || p.Offset.Abs() > p.Took/2 {
			t.Errorf("took %s, clock %s off", p.Took, p.Offset)
		}
		if !strings.HasPrefix(a.Addrs()[0], p.Seen) || !strings.HasPrefix(b.Addrs()[0], p.At) {
			t.Errorf("seen at %s, saw %s", p.Seen, p.At)
		}
		for _, way := range [][2]int{{maxProbe, 0}, {0, maxProbe}} {
			p, err := a.Probe(t.Context(), b.ID(), way[0], way[1])
			if least := time.Second * 8 * maxProbe / 20e6; err != nil || p.Took < least || p.Took > 4*least {
				t.Errorf("%d bytes up and %d down took %s, want %s at least; %v", way[0], way[1], p.Took, least, err)
			}
		}
		if _, err := a.Probe(t.Context(), b.ID(), 0, maxProbe+1); err == nil {
			t.Error("a probe of more than 1 MiB")
		}
		var remote *RemoteError
		for range probePerPeer / maxProbe {
			_, err = a.Probe(t.Context(), b.ID(), 0, maxProbe)
		}
		if !errors.As(err, &remote) || remote.Code != CodeBusy {
			t.Errorf("beyond the budget: %v", err)
		}
		time.Sleep(probeWindow)
		if _, err := a.Probe(t.Context(), b.ID(), 0, maxProbe); err != nil {
			t.Errorf("a minute later: %v", err)
		}
		if _, err := b.serveProbe(t.Context(), a.ID(), []byte{0xff, 0, 0, 0}); err == nil {
			t.Error("served 4 GiB")
		}
	})
}

// All peers together have a budget too, and only so many are counted.
func TestProbeBudget(t *testing.T) {
	var b probeBudget
	now := time.Unix(1000, 0)
	for i := range 5 {
		want := (i+1)*probePerPeer <= probeForAll
		if got := b.take(protocol.PeerID{byte(i)}, probePerPeer, now); got != want {
			t.Errorf("peer %d: %v", i, got)
		}
	}
	now = now.Add(probeWindow)
	for i := range maxProbePeers + 1 {
		if got := b.take(protocol.PeerID{1, byte(i), byte(i >> 8)}, 1, now); got != (i < maxProbePeers) {
			t.Fatalf("peer %d: %v", i, got)
		}
	}
}

// Whatever a peer answers, the decoder returns or refuses it, and a result is what the length says.
func FuzzDecodeProbe(f *testing.F) {
	f.Add(append(make([]byte, 8), 0, 2, 'a', 'b', 'x'), 1)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, b []byte, want int) {
		_, seen, err := decodeProbe(b, want)
		if err != nil {
			return
		}
		if n := int(binary.BigEndian.Uint16(b[8:])); len(b) != probeHead+n+want || strings.ContainsAny(seen, "\n\x1b") {
			t.Errorf("accepted %x with %d bytes wanted: %q", b, want, seen)
		}
	})
}
