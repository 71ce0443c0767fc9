package trainer

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"drystone/internal/delta"
	"drystone/protocol"
)

// Fabricate is the adversary of demonstrations and tests: a contribution that was never trained. Each segment moves theta
// by small random amounts and invents moments; trace, payload, error feedback, reveals and openings are then made
// honestly from these. It passes every check of structure, including CheckChunk, and costs almost nothing. Only a replay
// shows that no segment leads from its start to its end. It stands on opt.Feedback, and does not call opt.Await.
func Fabricate(spec *protocol.RunSpec, a protocol.Assignment, theta []float32, opt TrainOptions, seed uint64) (*Contribution, error) {
	codec, err := delta.New(spec.Codec)
	if err != nil {
		return nil, err
	}
	if err := checkShards(&spec.Codec, len(theta), a.Shards); err != nil {
		return nil, err
	}
	opt.Await = nil
	rec, err := newRecorder(spec, codec, a, theta, opt)
	if err != nil {
		return nil, err
	}
	src := rand.NewChaCha8(protocol.Hash("fabricate", binary.BigEndian.AppendUint64(nil, seed), opt.Peer[:], a.Run[:]))
	n := spec.Codec.Trained(len(theta), a.Shards)
	s := State{Theta: slices.Clone(theta), M: make([]float32, n), V: make([]float32, n)}
	ranges := trainedRanges(&spec.Codec, len(theta), a.Shards)
	for s.Step < a.Steps {
		to := min(s.Step+spec.Train.Segment, a.Steps)
		at := 0
		for _, r := range ranges {
			for i := r.Lo; i < r.Hi; i++ {
				w := src.Uint64()
				s.Theta[i] += float32(float32(int32(w)) * 0x1p-31 * float32(spec.Train.LR))
				s.M[at] = float32(int32(w>>16)) * 0x1p-41
				s.V[at] = float32(uint32(w>>32)) * 0x1p-50
				at++
			}
		}
		for ; s.Step < to; s.Step++ {
			loss := 5.5 - 2*float32(s.Step)/float32(a.Steps)
			rec.c.Losses = append(rec.c.Losses, loss)
			if opt.OnStep != nil {
				opt.OnStep(s.Step, loss)
			}
		}
		if err := rec.segment(s); err != nil {
			return nil, err
		}
	}
	return rec.finish(s.Theta)
}
