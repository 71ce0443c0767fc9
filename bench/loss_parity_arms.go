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
	Down   protocol.CodecSpec        // of the merged update, with error feedback at the aggregators; the zero value sends it whole
	Phases []func(*protocol.RunSpec) // what each of some equal parts of the run is set to
}

func denseUp(s *protocol.RunSpec) {
	s.Codec = protocol.CodecSpec{Up: "dense", ShardParams: 1 << 17}
	s.Outer = protocol.OuterSpec{Optimiser: "nesterov", LR: 0.7, Momentum: 0.9}
}

// sparseUp sends the k largest of 4096 values, 2 bits each, as SparseLoCo does.
func sparseUp(k int) func(*protocol.RunSpec) {
	return func(s *protocol.RunSpec) {
		s.Codec = protocol.CodecSpec{Up: "rice", TopK: k, ValueBits: 2, Decay: 0.95, ShardParams: 1 << 20}
		s.Outer = protocol.OuterSpec{Optimiser: "sgd", LR: 1}
	}
}

// every sets the steps of a round.
func every(h uint32, set func(*protocol.RunSpec)) func(*protocol.RunSpec) {
	return func(s *protocol.RunSpec) {
		s.Train.Rounds, s.Train.Steps, s.Train.Segment = s.Train.Rounds*s.Train.Steps/h, h, h
		set(s)
	}
}

func phases(set ...func(*protocol.RunSpec)) []func(*protocol.RunSpec) { return set }

// down256 is some 68 times below float32.
var down256 = protocol.CodecSpec{Up: "rice", TopK: 256, ValueBits: 2, Decay: 1, ShardParams: 1 << 20}

func aloneArm() arm {
	return arm{Name: "one worker", What: "AdamW with the batch of all workers, its state never reset", Alone: 4}
}

func denseArm() arm {
	return arm{Name: "dense", What: "float32 up and down, Nesterov 0.7 and 0.9, inner state reset each round", Phases: phases(denseUp)}
}

func compressedArms() []arm {
	return []arm{
		{Name: "k 256 up, k 256 down", What: "2-bit values, SGD 1, inner state reset each round", Down: down256, Phases: phases(sparseUp(256))},
		{Name: "k 64 up, k 256 down", What: "2-bit values, SGD 1, inner state reset each round", Down: down256, Phases: phases(sparseUp(64))},
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
		but(sparse, "k 256 up, float32 down", "the merged update whole", func(a *arm) { a.Down = protocol.CodecSpec{} }),
		but(sparse, "k 256, H 15", "15 steps a round", set(every(15, sparseUp(256)))),
		but(sparse, "k 256, H 60", "60 steps a round", set(every(60, sparseUp(256)))),
		but(sparse, "k 256, H 15, 30, 60", "steps a round by thirds of the run", set(every(15, sparseUp(256)), sparseUp(256), every(60, sparseUp(256)))),
		but(sparse, "k 512, 256, 64", "density by thirds of the run", set(sparseUp(512), sparseUp(256), sparseUp(64))),
	}
}
