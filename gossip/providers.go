package gossip

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// Bounds of the provider records that a host keeps for others.
const (
	maxProviders = 256
	providerLife = 30 * time.Minute // advertiseEvery is a third of it
)

// providers keeps the provider records of the run's own key and nothing else: whoever stores other keys stores nothing. At
// maxProviders the oldest makes room. It is the DHT's records.ProviderStore and safe for concurrent use.
type providers struct {
	key []byte

	mu   sync.Mutex
	list []provider // oldest first
}

type provider struct {
	info peer.AddrInfo
	at   time.Time
}

// AddProvider keeps or renews a record; the DHT has checked that the provider itself sent it.
func (s *providers) AddProvider(_ context.Context, key []byte, info peer.AddrInfo) error {
	if _, err := PeerIDToProtocol(info.ID); err != nil || !bytes.Equal(key, s.key) {
		return err
	}
	info.Addrs = boundAddrs(info.Addrs)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	for i, p := range s.list {
		if p.info.ID == info.ID {
			s.list = append(s.list[:i], s.list[i+1:]...)
			break
		}
	}
	if len(s.list) >= maxProviders {
		s.list = s.list[1:]
	}
	s.list = append(s.list, provider{info, time.Now()})
	return nil
}

// GetProviders returns the records, newest first.
func (s *providers) GetProviders(_ context.Context, key []byte) ([]peer.AddrInfo, error) {
	if !bytes.Equal(key, s.key) {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	out := make([]peer.AddrInfo, 0, len(s.list))
	for i := len(s.list) - 1; i >= 0; i-- {
		out = append(out, s.list[i].info)
	}
	return out, nil
}

// expire drops what is too old. The caller holds mu.
func (s *providers) expire() {
	for len(s.list) > 0 && time.Since(s.list[0].at) > providerLife {
		s.list = s.list[1:]
	}
}

// Close does nothing: the store is memory.
func (s *providers) Close() error { return nil }

// boundAddrs keeps the first maxRecordAddrs addresses of a peer, as signed records do.
func boundAddrs(addrs []ma.Multiaddr) []ma.Multiaddr { return addrs[:min(len(addrs), maxRecordAddrs)] }
