package gossip

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	ma "github.com/multiformats/go-multiaddr"
	"pgregory.net/rapid"

	"drystone/protocol"
)

func TestConfig(t *testing.T) {
	key := protocol.DeriveKey(1, "config")
	for _, tc := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"no key", Config{Run: testRun}, "Key is required"},
		{"no run", Config{Key: key}, "Run is required"},
		{"peers", Config{Key: key, Run: testRun, Peers: -1}, "Config.Peers is -1"},
		{"rate", Config{Key: key, Run: testRun, ByteRate: 10}, "ByteRate 10"},
		{"negative", Config{Key: key, Run: testRun, HoldFor: -1}, "must not be negative"},
		{"listen", Config{Key: key, Run: testRun, Listen: []string{"localhost:80"}}, `"localhost:80"`},
		{"bootstrap", Config{Key: key, Run: testRun, Bootstrap: []string{"/ip4/127.0.0.1/tcp/1"}}, "/ip4/127.0.0.1/tcp/1"},
		{"announce", Config{Key: key, Run: testRun, Announce: []string{"nowhere"}}, `"nowhere"`},
	} {
		h, err := New(tc.cfg)
		if err == nil {
			h.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q on one line", tc.name, err, tc.want)
		}
	}
}

// A port that another host has is refused with one line that names it, over either transport; nothing is left running.
func TestBusyPort(t *testing.T) {
	for _, listen := range []string{overTCP, overQUIC} {
		first := newHost(t, 0, on(listen))
		addr, _, _ := strings.Cut(first.Addrs()[0], "/p2p/")
		h, err := New(Config{Key: protocol.DeriveKey(1, "second"), Run: testRun, Listen: []string{addr}})
		if err == nil {
			h.Close()
			t.Fatalf("two hosts on %s", addr)
		}
		if s := err.Error(); !strings.Contains(s, addr) || !strings.Contains(s, "another address or port") || strings.Contains(s, "\n") || len(s) > 400 {
			t.Errorf("error %q", s)
		}
	}
}

func TestAnnounce(t *testing.T) {
	h := newHost(t, 0, func(c *Config) { c.Announce = []string{"/dns4/stone.example/tcp/4001"} })
	if got, want := h.Addrs(), []string{"/dns4/stone.example/tcp/4001/p2p/" + h.ID().String()}; !slices.Equal(got, want) {
		t.Errorf("announced %v, want %v", got, want)
	}
	l, err := ParseLink(h.Link().String())
	if err != nil || l.Run != testRun || !slices.Equal(l.Addrs, h.Addrs()) {
		t.Errorf("link %s, %v", h.Link(), err)
	}
}

func TestConnect(t *testing.T) {
	a, b := newHost(t, 0, nil), newHost(t, 1, nil)
	dead := "/ip4/127.0.0.1/tcp/1/p2p/" + protocol.DeriveKey(1, "dead").ID().String()
	for _, tc := range []struct {
		addrs []string
		want  string
	}{
		{nil, "no address"},
		{a.Addrs(), "our own"},
		{[]string{dead}, "connect to 16Uiu2"},
		{[]string{"nonsense"}, "nonsense"},
		{[]string{dead, b.Addrs()[0]}, ""},
	} {
		err := a.Connect(testContext(t), tc.addrs)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("connect to %v: %v", tc.addrs, err)
		}
	}
	if !slices.Equal(a.Peers(), []protocol.PeerID{b.ID()}) {
		t.Fatalf("peers %v", a.Peers())
	}
	if err := a.Disconnect(b.ID()); err != nil || len(a.Peers()) != 0 {
		t.Fatalf("after Disconnect: %v, %v", a.Peers(), err)
	}
}

// A host with another kind of key is turned away.
func TestForeignKey(t *testing.T) {
	h := newHost(t, 0, nil)
	foreign, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	infos, err := parseAddrs(h.Addrs())
	if err != nil {
		t.Fatal(err)
	}
	if err := foreign.Connect(testContext(t), infos[0]); err == nil {
		// The dialler may finish its handshake before it learns of the refusal: then the stream fails.
		_, err = foreign.NewStream(testContext(t), infos[0].ID, h.protocolID("call", peersCall))
		if err == nil {
			t.Error("a peer with an Ed25519 key could connect")
		}
	}
	if n := len(h.Peers()); n != 0 {
		t.Errorf("%d peers", n)
	}
	if _, err := PeerIDToProtocol(foreign.ID()); !errors.Is(err, protocol.ErrBadKey) {
		t.Errorf("Ed25519 peer ID: %v", err)
	}
}

func TestPeerIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := protocol.DeriveKey(rapid.Uint64().Draw(t, "seed"), "id").ID()
		id, err := PeerIDFromProtocol(p)
		if err != nil || id.String() != p.String() {
			t.Fatal(id, err)
		}
		if back, err := PeerIDToProtocol(id); err != nil || back != p {
			t.Fatal(back, err)
		}
	})
	if _, err := PeerIDFromProtocol(protocol.PeerID{}); err == nil {
		t.Error("zero is no peer")
	}
}

// Close ends every goroutine that the host started, also with peers, subscriptions, streams and calls under way.
func TestNoGoroutineLeft(t *testing.T) {
	round := func() {
		var hosts []*Host
		for n := range 2 {
			h, err := New(Config{Key: protocol.DeriveKey(2, fmt.Sprint(n)), Run: testRun})
			if err != nil {
				t.Fatal(err)
			}
			join(t, h, TopicControl, acceptAll)
			hosts = append(hosts, h)
		}
		connect(t, hosts[0], hosts[1])
		for _, h := range slices.Backward(hosts) {
			if err := errors.Join(h.Close(), h.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	round() // libraries start goroutines for the process once
	before := runtime.NumGoroutine()
	for range 3 {
		round()
	}
	// Some end just after Close: give them the processor until they have.
	ctx := testContext(t)
	for runtime.NumGoroutine() > before {
		if ctx.Err() != nil {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
		}
		runtime.Gosched()
	}
}

// sealed makes a signed peer record.
func sealed(t testing.TB, signer crypto.PrivKey, id peer.ID, addrs int) []byte {
	t.Helper()
	r := &peer.PeerRecord{PeerID: id, Seq: 1}
	for i := range addrs {
		r.Addrs = append(r.Addrs, ma.StringCast(fmt.Sprintf("/ip4/192.0.2.1/tcp/%d", i+1)))
	}
	e, err := record.Seal(r, signer)
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func frames(records ...[]byte) (out []byte) {
	for _, r := range records {
		out = append(append(out, byte(len(r)>>8), byte(len(r))), r...)
	}
	return out
}

func TestPeerRecords(t *testing.T) {
	key, err := identity(protocol.DeriveKey(1, "record"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := identity(protocol.DeriveKey(1, "other"))
	if err != nil {
		t.Fatal(err)
	}
	edKey, _, err := crypto.GenerateEd25519Key(sevens{})
	if err != nil {
		t.Fatal(err)
	}
	id, _ := peer.IDFromPrivateKey(key)
	edID, _ := peer.IDFromPrivateKey(edKey)
	good := sealed(t, key, id, 2)
	damaged := append([]byte{}, good...)
	damaged[len(damaged)-3] ^= 1
	for _, tc := range []struct {
		name string
		data []byte
		n    int // records, -1 for an error
	}{
		{"none", nil, 0},
		{"two", frames(good, good), 2},
		{"most", frames(slices.Repeat([][]byte{good}, maxRecords)...), maxRecords},
		{"too many", frames(slices.Repeat([][]byte{good}, maxRecords+1)...), -1},
		{"damaged", frames(damaged), -1},
		{"cut", frames(good)[:20], -1},
		{"half a length", append(frames(good), 0), -1},
		{"empty", frames(nil), -1},
		{"for another", frames(sealed(t, other, id, 1)), -1},
		{"other kind of key", frames(sealed(t, edKey, edID, 1)), -1},
		{"no address", frames(sealed(t, key, id, 0)), -1},
		{"too many addresses", frames(sealed(t, key, id, maxRecordAddrs+1)), -1},
		{"too long", frames(make([]byte, maxRecord+1)), -1},
	} {
		infos, err := decodeRecords(tc.data)
		if tc.n < 0 && err == nil || tc.n >= 0 && (err != nil || len(infos) != tc.n) {
			t.Errorf("%s: %d records, %v, want %d", tc.name, len(infos), err, tc.n)
		}
	}
}

// sevens is a reader of sevens, for a key that is the same every time.
type sevens struct{}

func (sevens) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 7
	}
	return len(p), nil
}

func FuzzDecodeRecords(f *testing.F) {
	key, err := identity(protocol.DeriveKey(1, "record"))
	if err != nil {
		f.Fatal(err)
	}
	id, _ := peer.IDFromPrivateKey(key)
	f.Add(frames(sealed(f, key, id, 2), sealed(f, key, id, 1)))
	f.Add(frames(nil, []byte{1, 2, 3}))
	f.Fuzz(func(t *testing.T, data []byte) {
		infos, err := decodeRecords(data)
		if err != nil {
			return
		}
		for _, info := range infos {
			if _, err := PeerIDToProtocol(info.ID); err != nil || len(info.Addrs) == 0 || len(info.Addrs) > maxRecordAddrs {
				t.Fatal(info, err)
			}
		}
	})
}
