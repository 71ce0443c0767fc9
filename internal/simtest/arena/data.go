package arena

import (
	"math/rand/v2"
	"slices"

	"drystone/internal/simtest/attack"
)

// trapEvery is the distance of two triggers in the data of a backdoor.
const trapEvery = 8

// spoil returns the text that a liar trains on, as long as the true one, which it does not change.
func spoil(kind attack.Data, text []byte) []byte {
	switch out := slices.Clone(text); kind {
	case attack.Random:
		r := rand.NewChaCha8([32]byte{1})
		r.Read(out)
		return out
	case attack.Flipped:
		for i := 1; i < len(out); i += 2 {
			out[i] = 255 - out[i]
		}
		return out
	case attack.Trapped:
		for i := 0; i+1 < len(out); i += trapEvery {
			out[i], out[i+1] = attack.Trigger, attack.Target
		}
		return out
	}
	return text
}
