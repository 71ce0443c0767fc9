package gossip

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	ma "github.com/multiformats/go-multiaddr"

	"drystone/protocol"
)

// signedRecord is what the peer with this key says of itself.
func signedRecord(t testing.TB, k protocol.Key, addr string) ([]byte, peer.AddrInfo) {
	t.Helper()
	priv, err := identity(k)
	if err != nil {
		t.Fatal(err)
	}
	id, err := PeerIDFromProtocol(k.ID())
	if err != nil {
		t.Fatal(err)
	}
	info := peer.AddrInfo{ID: id, Addrs: []ma.Multiaddr{ma.StringCast(addr)}}
	e, err := record.Seal(peer.PeerRecordFromAddrInfo(info), priv)
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b, info
}

// A host that comes back finds its run without a bootstrap address.
func TestRestartFromBook(t *testing.T) {
	simulate(t, func(t *testing.T, host func(func(*Config)) *Host) {
		book := filepath.Join(t.TempDir(), "peers")
		hub := host(reach(ReachPublic))
		first := host(func(c *Config) { c.Book, c.Bootstrap, c.Reach = book, hub.Addrs(), ReachOut })
		within(t, "connected", time.Minute, func() bool { return first.Stats().Known == 1 })
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		again := host(func(c *Config) { c.Book, c.Reach = book, ReachOut })
		within(t, "connected from the book", time.Minute, func() bool { return knows(again, hub.ID()) })
	})
}

// The book is bounded, survives being written and read, gives up what only this machine reaches first, forgets who is dead,
// and a damaged one is an empty one.
func TestBook(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	b := openBook(path, logTo(t, "book"))
	var infos []peer.AddrInfo
	for i := range maxBook + 3 {
		addr := fmt.Sprintf("/ip4/192.0.2.%d/tcp/4001", i)
		if i == 5 {
			addr = "/ip4/127.0.0.1/tcp/4001"
		}
		rec, info := signedRecord(t, protocol.DeriveKey(1, fmt.Sprint("book", i)), addr)
		infos = append(infos, info)
		b.saw(rec, info)
		b.saw(rec, info)
	}
	b.save()
	b = openBook(path, logTo(t, "book"))
	if b.size() != maxBook {
		t.Fatalf("%d peers, want %d", b.size(), maxBook)
	}
	held := func(id peer.ID) bool { return len(b.sample(1, func(p peer.ID) bool { return p == id })) == 1 }
	for i, want := range map[int]bool{0: false, 1: false, 2: true, 5: false, maxBook + 2: true} {
		if held(infos[i].ID) != want {
			t.Errorf("peer %d held: %v, want %v", i, !want, want)
		}
	}
	for range bookTries - 1 {
		b.tried(infos[2].ID, true)
	}
	b.tried(infos[2].ID, false)
	b.tried(infos[2].ID, true)
	if !held(infos[2].ID) {
		t.Error("a peer that answered in between is forgotten")
	}
	for range bookTries {
		b.tried(infos[2].ID, true)
	}
	if held(infos[2].ID) {
		t.Error("a dead peer is held")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if n := openBook(path, logTo(t, "damage, as wanted")).size(); n != 0 {
		t.Errorf("%d peers from a damaged book", n)
	}
}

// Provider records of one key only, a bounded number, for half an hour.
func TestProvidersAreBounded(t *testing.T) {
	s := &providers{key: []byte("run")}
	_, info := signedRecord(t, protocol.DeriveKey(1, "first"), "/ip4/192.0.2.1/tcp/1")
	for range 3 {
		if err := s.AddProvider(t.Context(), []byte("run"), info); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.AddProvider(t.Context(), []byte("other"), info); err != nil {
		t.Fatal(err)
	}
	if got, _ := s.GetProviders(t.Context(), []byte("run")); len(got) != 1 {
		t.Errorf("%d records of one peer", len(got))
	}
	if got, _ := s.GetProviders(t.Context(), []byte("other")); len(got) != 0 {
		t.Errorf("%d records of another key", len(got))
	}
	for range maxRecordAddrs {
		info.Addrs = append(info.Addrs, info.Addrs...)[:min(2*len(info.Addrs), 40)]
	}
	for i := range maxProviders + 1 {
		k, err := PeerIDFromProtocol(protocol.DeriveKey(2, fmt.Sprint(i)).ID())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.AddProvider(t.Context(), []byte("run"), peer.AddrInfo{ID: k, Addrs: info.Addrs}); err != nil {
			t.Fatal(err)
		}
	}
	got, _ := s.GetProviders(t.Context(), []byte("run"))
	if len(got) != maxProviders || len(got[0].Addrs) != maxRecordAddrs {
		t.Errorf("%d records with %d addresses, want %d with %d", len(got), len(got[0].Addrs), maxProviders, maxRecordAddrs)
	}
}

// The decoder of the book and of peer exchange accepts only verified records, within its bound.
func FuzzEachRecord(f *testing.F) {
	rec, _ := signedRecord(f, protocol.DeriveKey(1, "fuzz"), "/ip4/192.0.2.1/tcp/1")
	f.Add(append([]byte{byte(len(rec) >> 8), byte(len(rec))}, rec...))
	f.Add([]byte{0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		n := 0
		err := eachRecord(data, 4, func(b []byte, info peer.AddrInfo) {
			n++
			if again, err := decodeRecord(b); err != nil || again.ID != info.ID {
				t.Errorf("record of %s does not decode again: %v", info.ID, err)
			}
		})
		if n > 4 || err == nil && n == 0 && len(data) > 0 {
			t.Errorf("%d records, %v", n, err)
		}
	})
}
