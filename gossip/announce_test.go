package gossip

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"drystone/protocol"
)

func haves(t *testing.T, h *Host, wanted ...protocol.Digest) *Haves {
	t.Helper()
	a, err := h.JoinHaves(func(d protocol.Digest) bool { return slices.Contains(wanted, d) })
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// What one peer announces others hear, also through a peer that has it from hearsay.
func TestAnnouncementsTravel(t *testing.T) {
	d := protocol.Hash("state")
	a, b, c := newHost(t, 0, nil), newHost(t, 1, nil), newHost(t, 2, nil)
	ha, hb, hc := haves(t, a, d), haves(t, b, d), haves(t, c, d)
	connect(t, a, b)
	connect(t, b, c)
	for _, x := range []*Haves{ha, hb, hc} { // what is sent before the mesh is there goes to neighbours only
		eventually(t, "the mesh", func() bool { return x.topic.Neighbours() > 0 })
	}
	if err := ha.Announce(testContext(t), d); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the announcement of a", func() bool {
		return slices.Contains(hc.Providers(d), a.ID()) && slices.Contains(hb.Providers(d), a.ID())
	})
	if len(ha.Providers(d)) != 0 {
		t.Error("a names itself as a source")
	}
}

// The traffic of one blob does not grow with the number of peers: sixteen announcements of it are forwarded; and what is
// remembered is bounded, whoever sends what.
func TestAnnouncementsAreBounded(t *testing.T) {
	d, other := protocol.Hash("state"), protocol.Hash("other")
	a := haves(t, newHost(t, 0, nil), d)
	var accepted int
	peer := func(i int) protocol.PeerID { return protocol.DeriveKey(7, fmt.Sprint(i)).ID() }
	for i := range 200 {
		p := peer(i)
		if a.judge(context.Background(), p, encodeHas(d, p)) == Accept {
			accepted++
		}
		for k := range 3 {
			if v := a.judge(context.Background(), p, encodeHas(protocol.Hash(fmt.Sprint(i, k)), p)); v != Ignore {
				t.Fatalf("a blob that nobody needs: %v", v)
			}
		}
	}
	if accepted != enoughHave || len(a.Providers(d)) != rememberHave || len(a.early) != earlyHave {
		t.Fatalf("%d accepted, %d remembered, %d early", accepted, len(a.Providers(d)), len(a.early))
	}
	if err := a.Announce(testContext(t), d); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(a.peers[d], a.h.ID()) {
		t.Error("announced once more")
	}
	p := peer(1)
	for name, data := range map[string][]byte{
		"for another peer": encodeHas(d, peer(2)),
		"too long":         append(encodeHas(d, p), 0),
		"other version":    append([]byte{2}, encodeHas(d, p)[1:]...),
		"empty":            {},
	} {
		if v := a.judge(context.Background(), p, data); v != Reject {
			t.Errorf("%s: %v", name, v)
		}
	}
	// An announcement that overtakes its statement counts once the statement is there.
	a.judge(context.Background(), p, encodeHas(other, p))
	if got := a.Providers(other); len(got) != 1 || got[0] != p {
		t.Errorf("early: %v", got)
	}
	for i := range 3 * wantedBlobs {
		a.note(protocol.Hash(fmt.Sprint("many", i)), p)
	}
	if len(a.peers) != wantedBlobs || len(a.order) != wantedBlobs {
		t.Errorf("%d blobs remembered", len(a.peers))
	}
}

func FuzzDecodeHas(f *testing.F) {
	f.Add(encodeHas(protocol.Hash("x"), protocol.PeerID{2}))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, p, err := decodeHas(b)
		if err == nil && !bytes.Equal(encodeHas(d, p), b) {
			t.Fatal(d, p)
		}
	})
}
