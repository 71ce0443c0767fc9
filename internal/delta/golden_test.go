package delta

import (
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"drystone/protocol"
)

var update = flag.Bool("update", false, "write golden files")

// The golden payloads fix the codec across versions and platforms.
func TestGolden(t *testing.T) {
	for _, spec := range allSpecs {
		c := mustNew(t, spec)
		// Inputs from integers only, so that no library function takes part.
		u, feedback := make([]float32, 4200), make([]float32, 4200)
		src := rand.NewChaCha8([32]byte{1})
		for i := range u {
			a, b := int32(src.Uint64()), int32(src.Uint64())
			u[i] = float32(a) * 0x1p-31 * float32(b) * 0x1p-38
			feedback[i] = float32(b>>3) * 0x1p-38
		}
		payload, err := c.Encode(nil, u, feedback)
		if err != nil {
			t.Fatal(err)
		}
		after, err := mustNew(t, protocol.CodecSpec{Up: "dense"}).Encode(nil, feedback, nil)
		if err != nil {
			t.Fatal(err)
		}
		first, err := c.Chunk(payload, len(u), 1)
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("payload %v\nafter   %v\nchunk 1 %s\n", protocol.MerkleRoot(payload), protocol.MerkleRoot(after), hex.EncodeToString(first))
		name := filepath.Join("testdata", label(spec)+".golden")
		if *update {
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if text != string(want) {
			t.Errorf("%s: got\n%s", name, text)
		}
	}
}
