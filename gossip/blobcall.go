package gossip

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"drystone/protocol"
)

// setupTime is for a connection, a stream and our turn among calls to the peer, before it can be told to stall.
const setupTime = dialTimeout + stallAfter

// callSlowly is a call whose response comes at the rate that Config.Down allows and may take Config.CallTimeout, but whose
// peer must keep sending: ErrStalled if it does not. begun, if not nil, is set when the first byte comes.
func (h *Host) callSlowly(ctx context.Context, to protocol.PeerID, name string, req []byte, maxResp int, begun *atomic.Bool) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	setup := time.AfterFunc(setupTime, func() { cancel(context.DeadlineExceeded) })
	defer setup.Stop()
	return h.call(ctx, to, name, req, maxResp, func(r io.Reader) io.Reader {
		setup.Stop()
		watch := time.AfterFunc(stallAfter, func() { cancel(ErrStalled) })
		watch.Stop()
		return limitedReader{ctx: ctx, r: r, limit: h.blobs.down, watch: watch,
			moved: func(n int) {
				h.blobs.received.Add(uint64(n))
				if begun != nil {
					begun.Store(true)
				}
			}}
	})
}
