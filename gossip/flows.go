package gossip

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2pproto "github.com/libp2p/go-libp2p/core/protocol"
)

// maxFlows bounds the protocols that are counted apart; what comes beyond is counted together.
const maxFlows = 256

// flows counts bytes of streams by protocol, as libp2p reports them. Libp2p's own BandwidthCounter remembers every peer that
// ever connected, and so takes memory from whoever makes up peers.
type flows struct {
	mu    sync.RWMutex
	bytes map[libp2pproto.ID]*flow
}

type flow struct{ in, out atomic.Int64 }

var _ metrics.Reporter = (*flows)(nil)

func (f *flows) of(p libp2pproto.ID) *flow {
	f.mu.RLock()
	x := f.bytes[p]
	f.mu.RUnlock()
	if x != nil {
		return x
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bytes == nil {
		f.bytes = map[libp2pproto.ID]*flow{}
	}
	if len(f.bytes) >= maxFlows {
		p = "others"
	}
	if f.bytes[p] == nil {
		f.bytes[p] = &flow{}
	}
	return f.bytes[p]
}

// read returns the counts.
func (f *flows) read() map[libp2pproto.ID]Bytes {
	f.mu.RLock()
	defer f.mu.RUnlock()
	out := make(map[libp2pproto.ID]Bytes, len(f.bytes))
	for p, x := range f.bytes {
		out[p] = Bytes{In: x.in.Load(), Out: x.out.Load()}
	}
	return out
}

// LogSentMessageStream counts what was written to a stream.
func (f *flows) LogSentMessageStream(n int64, p libp2pproto.ID, _ peer.ID) { f.of(p).out.Add(n) }

// LogRecvMessageStream counts what was read from a stream.
func (f *flows) LogRecvMessageStream(n int64, p libp2pproto.ID, _ peer.ID) { f.of(p).in.Add(n) }

// The rest of the interface is for readers that libp2p does not have.

func (*flows) LogSentMessage(int64)                                     {}
func (*flows) LogRecvMessage(int64)                                     {}
func (*flows) GetBandwidthForPeer(peer.ID) (s metrics.Stats)            { return s }
func (*flows) GetBandwidthForProtocol(libp2pproto.ID) (s metrics.Stats) { return s }
func (*flows) GetBandwidthTotals() (s metrics.Stats)                    { return s }
func (*flows) GetBandwidthByPeer() map[peer.ID]metrics.Stats            { return nil }
func (*flows) GetBandwidthByProtocol() map[libp2pproto.ID]metrics.Stats { return nil }
func (*flows) Reset()                                                   {}
func (*flows) TrimIdle(time.Time)                                       {}
