package node

import (
	"bytes"
	"runtime"
	"testing"

	"drystone/protocol"
)

// decodesAs returns what decodes the CBOR of one kind of request or response and encodes it again.
func decodesAs[T any](limit int) func(data []byte) ([]byte, bool, error) {
	return func(data []byte) ([]byte, bool, error) {
		var v T
		if protocol.Decode(data, limit, &v) != nil {
			return nil, false, nil
		}
		again, err := protocol.Encode(v)
		return again, true, err
	}
}

// wires are the requests and responses of calls that have no decoder of their own.
var wires = []func([]byte) ([]byte, bool, error){
	decodesAs[statementsRequest](maxSmall), decodesAs[statementsResponse](maxStatements), decodesAs[revealRequest](maxSmall),
	decodesAs[openingRequest](maxSmall), decodesAs[leavesRequest](maxSmall), decodesAs[leavesResponse](maxLeaves),
	decodesAs[proofRequest](maxSmall), decodesAs[headResponse](maxSmall), decodesAs[protocol.Cosignature](maxSmall),
}

// What a call carries decodes to one value, which has one encoding, in memory that its length bounds: 200 bytes for each of its
// own.
func FuzzCalls(f *testing.F) {
	for kind, v := range []any{statementsRequest{From: 7}, statementsResponse{List: []protocol.SignedStatement{{}, {}}},
		revealRequest{Round: 1, Shard: 2}, openingRequest{Round: 3}, leavesRequest{From: 1, Size: 9},
		leavesResponse{Leaves: [][]byte{{1}, {}}, Proof: make([]protocol.Digest, 2)}, proofRequest{Round: 5},
		headResponse{Length: 8, Reaches: make([]protocol.PeerID, 2)}, protocol.Cosignature{}} {
		b, err := protocol.Encode(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(kind), b)
	}
	f.Add(uint8(1), []byte{0x81, 0x9a, 0xff, 0xff, 0xff, 0xff}) // four thousand million statements, of which none comes
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		again, ok, err := wires[int(kind)%len(wires)](data)
		runtime.ReadMemStats(&after)
		most := uint64(8<<20 + 200*len(data)) // what goes on beside the test counts too
		if got := after.TotalAlloc - before.TotalAlloc; got > most {
			t.Errorf("%d bytes took %d bytes of memory, more than %d", len(data), got, most)
		}
		if ok && (err != nil || !bytes.Equal(again, data)) {
			t.Errorf("%x decodes, and encodes to %x, %v", data, again, err)
		}
	})
}
