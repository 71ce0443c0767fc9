package gossip

import (
	"context"
	"testing"

	"drystone/protocol"
)

// A fetch under way shows in the counts with how far it is, and no longer when it has ended.
func TestFetchStats(t *testing.T) {
	blob := randomBlob(9, 8*pieceSize)
	d := protocol.MerkleRoot(blob)
	a := newHost(t, 1, on(overTCP))
	a.ServeBlobs(newMemory(blob))
	b := newHost(t, 2, func(c *Config) { c.Listen, c.Down = []string{overTCP}, pieceSize })
	connect(t, b, a)
	ctx, cancel := context.WithCancel(testContext(t))
	ended := make(chan error, 1)
	go func() {
		_, err := b.Fetch(ctx, d, int64(len(blob)), []protocol.PeerID{a.ID()}, FetchOptions{})
		ended <- err
	}()
	eventually(t, "a fetch that has a piece", func() bool {
		f := b.Stats().Fetches
		return len(f) == 1 && f[0].Blob == d && f[0].Size == int64(len(blob)) && f[0].Done > 0 && f[0].Done < f[0].Size
	})
	cancel()
	if err := <-ended; err == nil {
		t.Error("a fetch that was cut off succeeds")
	}
	if f := b.Stats().Fetches; len(f) != 0 {
		t.Errorf("after its end: %+v", f)
	}
}
