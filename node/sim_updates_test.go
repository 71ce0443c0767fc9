package node

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"drystone/internal/durable"
	"drystone/internal/simtest/simlink"
	"drystone/protocol"
)

// Payloads of the way down of the 10.8 M model, 0.8 MB in 6 shards, reach 12 and 60 trainers that all want them at once from four
// aggregators, on lines of 100 Mbit/s down and 20 up with 100 ms between any two, before the aggregators could have sent them all
// twice; and few bytes come twice.
func TestUpdatesArrive(t *testing.T) {
	const shards, size = 6, 126 << 10
	for _, trainers := range []int{12, 60} {
		t.Run(fmt.Sprint(trainers), func(t *testing.T) {
			if trainers > 12 && !*long {
				t.Skip("-long")
			}
			rng := rand.NewChaCha8([32]byte{1})
			var payloads [][]byte
			cert := &protocol.Certificate{Model: protocol.Hash("model")}
			for range shards {
				p := make([]byte, size)
				if _, err := rng.Read(p); err != nil {
					t.Fatal(err)
				}
				payloads = append(payloads, p)
				cert.Updates = append(cert.Updates, protocol.UpdateOf(p))
			}
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			synctest.Test(t, func(t *testing.T) {
				n := simlink.New(simlink.Steady(50 * time.Millisecond))
				defer n.Close()
				var boot []string
				var from []protocol.PeerID
				open := func(name string) *member {
					h, _ := bytesHost(t, n, name, boot)
					store, err := durable.OpenStore(t.TempDir())
					if err != nil {
						t.Fatal(err)
					}
					h.ServeBlobs(store)
					return &member{host: h, blobs: store}
				}
				var all []*member
				for i := range 4 {
					m := open(fmt.Sprintf("aggregator/%d", i))
					if err := m.putUpdates(payloads...); err != nil {
						t.Fatal(err)
					}
					boot, from = append(boot, m.host.Addrs()...), append(from, protocol.DeriveKey(2, fmt.Sprintf("aggregator/%d", i)).ID())
					all = append(all, m)
				}
				for i := range trainers {
					all = append(all, open(fmt.Sprintf("trainer/%d", i)))
				}
				time.Sleep(time.Minute)
				began := time.Now()
				var took []time.Duration
				var mu sync.Mutex
				var wg sync.WaitGroup
				for _, m := range all[4:] {
					wg.Go(func() {
						if err := m.updates(t.Context(), cert, func() []protocol.PeerID { return from }, func(int, []byte) error { return nil }); err != nil {
							t.Error(err)
						}
						mu.Lock()
						defer mu.Unlock()
						took = append(took, time.Since(began))
					})
				}
				wg.Wait()
				var fetched uint64
				for _, m := range all[4:] {
					fetched += m.host.Stats().BlobDown
				}
				slices.Sort(took)
				times := float64(fetched) / float64(shards*size*trainers)
				t.Logf("%d trainers: half have all after %.2f s, all after %.2f s; %.2f times the payloads came", trainers, took[len(took)/2].Seconds(),
					took[len(took)-1].Seconds(), times)
				const uplinks = 4 * 20e6 / 8 // bytes per second
				if limit := 1 + 2*float64(shards*size*trainers)/uplinks; took[len(took)-1].Seconds() > limit {
					t.Errorf("the last has all after %.2f s, want %.2f at most", took[len(took)-1].Seconds(), limit)
				}
				if times > 1.4 {
					t.Errorf("%.2f times the payloads came", times)
				}
				for _, m := range all {
					if err := m.host.Close(); err != nil {
						t.Error(err)
					}
				}
				time.Sleep(time.Minute)
			})
		})
	}
}
