package gossip

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"drystone/protocol"
)

func TestParseLink(t *testing.T) {
	id := protocol.DeriveKey(1, "link").ID().String()
	run := testRun.String()
	tcp := "/dns4/host.example/tcp/4001/p2p/" + id
	quic := "/ip4/192.0.2.1/udp/4001/quic-v1/p2p/" + id
	var many []string
	for i := range maxLinkAddrs + 1 {
		many = append(many, fmt.Sprintf("/ip4/192.0.2.1/tcp/%d/p2p/%s", i+1, id))
	}
	for _, tc := range []struct {
		name, link string
		addrs      int
		want       string // in the error
	}{
		{"one", "drystone:" + run + "@" + tcp, 1, ""},
		{"two", " drystone:" + run + "@" + tcp + "," + quic + "\n", 2, ""},
		{"most", "drystone:" + run + "@" + strings.Join(many[1:], ","), maxLinkAddrs, ""},
		{"too many", "drystone:" + run + "@" + strings.Join(many, ","), 0, "17 addresses"},
		{"empty", "", 0, `does not begin with "drystone:"`},
		{"scheme", "http://" + run, 0, `does not begin with "drystone:"`},
		{"no addresses", "drystone:" + run, 0, "no @"},
		{"empty addresses", "drystone:" + run + "@", 0, "address 1"},
		{"trailing comma", "drystone:" + run + "@" + tcp + ",", 0, "address 2"},
		{"short run", "drystone:" + run[1:] + "@" + tcp, 0, "64 hexadecimal digits"},
		{"no hex", "drystone:" + strings.Repeat("z", 64) + "@" + tcp, 0, "run: digest"},
		{"no peer", "drystone:" + run + "@/ip4/192.0.2.1/tcp/4001", 0, "/p2p/16Uiu2"},
		{"no place", "drystone:" + run + "@/p2p/" + id, 0, "no place to reach it"},
		{"other key", "drystone:" + run + "@/ip4/192.0.2.1/tcp/1/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp", 0, "secp256k1"},
		{"twice", "drystone:" + run + "@" + tcp + "," + tcp, 0, "twice"},
		{"long address", "drystone:" + run + "@/dns4/" + strings.Repeat("x", 600) + "/tcp/1/p2p/" + id, 0, "at most 512"},
		{"long", "drystone:" + strings.Repeat("x", 5000), 0, "at most 4096"},
	} {
		l, err := ParseLink(tc.link)
		if tc.want != "" {
			if !errors.Is(err, ErrLink) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
			}
			continue
		}
		if err != nil || len(l.Addrs) != tc.addrs || l.Run != testRun || l.String() != strings.TrimSpace(tc.link) {
			t.Errorf("%s: %v, %v", tc.name, l, err)
		}
	}
}

// What parses is bounded, and its text parses to the same link.
func FuzzParseLink(f *testing.F) {
	id := protocol.DeriveKey(1, "link").ID().String()
	f.Add("drystone:" + testRun.String() + "@/dns4/host.example/tcp/4001/p2p/" + id)
	f.Add("drystone:" + testRun.String() + "@/ip6/::1/udp/1/quic-v1/p2p/" + id + ",/ip4/1.2.3.4/tcp/1/ipfs/" + id)
	f.Add("drystone:@,")
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseLink(s)
		if err != nil {
			if !errors.Is(err, ErrLink) {
				t.Fatal(err)
			}
			return
		}
		again, err := ParseLink(l.String())
		if err != nil || again.Run != l.Run || !slices.Equal(again.Addrs, l.Addrs) || len(l.Addrs) > maxLinkAddrs {
			t.Fatalf("%q gives %q: %v", s, l.String(), err)
		}
	})
}
