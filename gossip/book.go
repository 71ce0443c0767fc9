package gossip

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
	manet "github.com/multiformats/go-multiaddr/net"

	"drystone/internal/durable"
)

// Bounds of the address book.
const (
	maxBook     = 128 // peers
	maxBookFile = maxBook * (2 + maxRecord)
	bookTries   = 8 // failed dials, while others are connected, after which a peer is forgotten
)

// addressBook remembers, over restarts, the peers that were connected: their signed records, written as peer exchange
// writes them, so that a file that someone has tampered with can send us to nobody but the peers it names. At maxBook the
// one not seen for longest makes room. It is safe for concurrent use.
type addressBook struct {
	path string // "" for none
	log  *slog.Logger

	mu      sync.Mutex
	pages   []page // not seen for longest first
	changed bool
}

type page struct {
	info   peer.AddrInfo
	record []byte
	failed int
}

// openBook reads the book. A damaged one is an empty one: it is only a help.
func openBook(path string, log *slog.Logger) *addressBook {
	b := &addressBook{path: path, log: log}
	if path == "" {
		return b
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > maxBookFile {
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			log.Warn("address book not read", "file", path, "err", err)
		}
		return b
	}
	data, err := os.ReadFile(path)
	if err == nil {
		err = b.decode(data)
	}
	if err != nil {
		log.Warn("address book not read; starting an empty one", "file", path, "err", err)
		b.pages = nil
	}
	return b
}

func (b *addressBook) decode(data []byte) error {
	return eachRecord(data, maxBook, func(record []byte, info peer.AddrInfo) {
		b.pages = append(b.pages, page{info: info, record: record})
	})
}

// saw notes a connected peer. Records that lead to this machine only are of no use after a restart elsewhere, but they are
// on a machine where the whole run is.
func (b *addressBook) saw(record []byte, info peer.AddrInfo) {
	if b.path == "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(info.ID)
	if len(b.pages) >= maxBook {
		b.pages = append(b.pages[:b.oldest()], b.pages[b.oldest()+1:]...)
	}
	b.pages = append(b.pages, page{info: info, record: record})
	b.changed = true
}

// oldest is the page to give up: of a peer that only this machine reaches if there is one. The caller holds mu.
func (b *addressBook) oldest() int {
	for i, p := range b.pages {
		local := true
		for _, a := range p.info.Addrs {
			local = local && manet.IsIPLoopback(a)
		}
		if local {
			return i
		}
	}
	return 0
}

// remove forgets a peer. The caller holds mu.
func (b *addressBook) remove(id peer.ID) {
	for i, p := range b.pages {
		if p.info.ID == id {
			b.pages = append(b.pages[:i], b.pages[i+1:]...)
			b.changed = true
			return
		}
	}
}

// tried notes whether a peer of the book could be dialled.
func (b *addressBook) tried(id peer.ID, failed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.pages {
		p := &b.pages[i]
		if p.info.ID != id {
			continue
		}
		if !failed {
			p.failed = 0
		} else if p.failed++; p.failed >= bookTries {
			b.remove(id)
		}
		return
	}
}

// sample returns up to n peers for which want is true, at random.
func (b *addressBook) sample(n int, want func(peer.ID) bool) []peer.AddrInfo {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []peer.AddrInfo
	for _, i := range rand.Perm(len(b.pages)) {
		if len(out) < n && want(b.pages[i].info.ID) {
			out = append(out, b.pages[i].info)
		}
	}
	return out
}

func (b *addressBook) size() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.pages)
}

// save writes the book if it has changed. A failure is logged: the run goes on without.
func (b *addressBook) save() {
	b.mu.Lock()
	var data []byte
	for _, p := range b.pages {
		data = append(binary.BigEndian.AppendUint16(data, uint16(len(p.record))), p.record...)
	}
	changed := b.changed
	b.changed = false
	b.mu.Unlock()
	if b.path == "" || !changed {
		return
	}
	if err := durable.WriteFile(b.path, data, 0o600); err != nil {
		b.log.Warn("address book not written", "err", err)
	}
}
