package main

import (
	"drystone/protocol"
)

// arm is one way of training a trial's model.
type arm struct {
	Name   string
	What   string
	Alone  int                       // if not 0, one worker with batches of so many workers trains by AdamW, without rounds
	Keep   bool                      // the inner optimiser's state goes on from round to round
	Phases []func(*protocol.RunSpec) // what each of some equal parts of the run is set to
}

func denseUp(s *protocol.RunSpec) {
	s.Codec = protocol.CodecSpec{Up: "dense", ShardParams: 1 << 17}
	s.Outer = protocol.OuterSpec{Optimiser: "nesterov", LR: 0.7, Momentum: 0.9}
}

// outerLR is that of the arms that send little. Without momentum a rate of 1 only averages, and lags behind Nesterov, whose
// steps add up to seven times as much.
const outerLR = 4

// sparseUp sends the k largest of 4096 values, 2 bits each, as SparseLoCo does; what is merged comes back whole.
func sparseUp(k int) func(*protocol.RunSpec) {
	return func(s *protocol.RunSpec) {
		s.Codec = protocol.CodecSpec{Up: "rice", TopK: k, ValueBits: 2, Decay: 0.95, ShardParams: 1 << 20}
		s.Outer = protocol.OuterSpec{Optimiser: "sgd", LR: outerLR}
	}
}

// compressed is sparseUp with 256 of 4096 values on the way down, some 68 times below float32.
func compressed(k int) func(*protocol.RunSpec) {
	return func(s *protocol.RunSpec) {
		sparseUp(k)(s)
		s.Codec.Down, s.Codec.DownTopK, s.Codec.DownValueBits, s.Codec.DownDecay = "rice", 256, 2, 0.95
	}
}

// every sets the steps of a round.
func every(h uint32, set func(*protocol.RunSpec)) func(*protocol.RunSpec) {
	return func(s *protocol.RunSpec) {
		s.Train.Rounds, s.Train.Steps, s.Train.Segment = s.Train.Rounds*s.Train.Steps/h, h, h
		set(s)
	}
}

// outerRate sets the rate of the outer optimiser.
func outerRate(rate float64, set func(*protocol.RunSpec)) func(*protocol.RunSpec) {
	return func(s *protocol.RunSpec) {
		set(s)
		s.Outer.LR = rate
	}
}

func phases(set ...func(*protocol.RunSpec)) []func(*protocol.RunSpec) { return set }

func aloneArm() arm {
	return arm{Name: "one worker", What: "AdamW with the batch of all workers, its state never reset", Alone: 4}
}

func denseArm() arm {
	return arm{Name: "dense", What: "float32 up and down, Nesterov 0.7 and 0.9, inner state reset each round", Phases: phases(denseUp)}
}

func compressedArms() []arm {
	return []arm{
		{Name: "k 256 up, k 256 down", What: "2-bit values, SGD at 4, inner state reset each round", Phases: phases(compressed(256))},
		{Name: "k 64 up, k 256 down", What: "2-bit values, SGD at 4, inner state reset each round", Phases: phases(compressed(64))},
	}
}

// choice is an arm and what it is compared with.
type choice struct{ base, arm arm }

// choices differ from an arm of loss-parity in one thing each.
func choices() []choice {
	sparse, dense := compressedArms()[0], denseArm()
	but := func(a arm, name, what string, change func(*arm)) choice {
		b := a
		b.Name, b.What = name, what
		change(&b)
		return choice{a, b}
	}
	set := func(f ...func(*protocol.RunSpec)) func(*arm) { return func(a *arm) { a.Phases = f } }
	return []choice{
		but(dense, "dense, state kept", "moments of AdamW go on from round to round", func(a *arm) { a.Keep = true }),
		but(sparse, "k 256, state kept", "moments of AdamW go on from round to round", func(a *arm) { a.Keep = true }),
		but(sparse, "k 256 up, float32 down", "the merged update whole", set(sparseUp(256))),
		but(sparse, "k 256, outer rate 1", "SGD at 1", set(outerRate(1, compressed(256)))),
		but(sparse, "k 256, outer rate 2", "SGD at 2", set(outerRate(2, compressed(256)))),
		but(sparse, "k 256, H 15", "15 steps a round", set(every(15, compressed(256)))),
		but(sparse, "k 256, H 60", "60 steps a round", set(every(60, compressed(256)))),
		but(sparse, "k 256, H 15, 30, 60", "steps a round by thirds of the run", set(every(15, compressed(256)), compressed(256), every(60, compressed(256)))),
		but(sparse, "k 512, 256, 64", "density by thirds of the run", set(compressed(512), compressed(256), compressed(64))),
	}
}
