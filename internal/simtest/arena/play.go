package arena

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"drystone/aggregate"
	"drystone/internal/simtest/attack"
	"drystone/protocol"
	"drystone/trainer"
)

// Game is one run from the first parameters to the last round.
type Game struct {
	Rule         protocol.AggregateSpec
	Outer        protocol.OuterSpec
	Contributors int
	Liars        int           // the first of the contributors; fewer than all
	Attack       attack.Attack // if there are liars
}

// Result is what became of the model.
type Result struct {
	Loss   float64 // held-out, nats per byte, after the last round; +Inf if training or merge broke down
	Weight float64 // liars' part of the weight in the merges, mean over rounds; for coordinate rules their number's
	Trap   float64 // share of prompts ending in the trigger that the model goes on with the target
}

const (
	lossSequences = 256
	trapPrompts   = 40
)

// game is a Game in progress.
type game struct {
	*Arena
	Game
	spec      protocol.RunSpec // with the rule and the outer optimiser
	lie       attack.Liars
	rand      *rand.Rand
	theta     []float32
	outer     []float32
	feedback  [][]float32 // of the honest; nil for none
	liarShare float64
}

// Play plays a game. It fails for a game that no run spec allows, or if ctx is done.
func (a *Arena) Play(ctx context.Context, g Game) (*Result, error) {
	p := &game{Arena: a, Game: g, spec: *a.spec, feedback: make([][]float32, g.Contributors)}
	p.spec.Aggregate, p.spec.Outer = g.Rule, g.Outer
	p.spec.Aggregate.MinPeers = uint32(g.Contributors)
	if err := p.spec.Validate(); err != nil {
		return nil, err
	}
	if g.Liars < 0 || g.Liars >= g.Contributors {
		return nil, fmt.Errorf("arena: %d liars among %d contributors", g.Liars, g.Contributors)
	}
	if g.Liars > 0 {
		p.lie = g.Attack.New()
	}
	p.rand = rand.New(rand.NewPCG(a.spec.Seed, binary.BigEndian.Uint64([]byte(g.Attack.Name+"........"))))
	a.names(g.Contributors)
	device := a.devices[attack.Assigned][0]
	var err error
	if p.theta, err = device.Genesis(); err != nil {
		return nil, err
	}
	p.outer = make([]float32, g.Outer.State(len(p.theta)))
	for round := range a.spec.Train.Rounds {
		if err := p.round(ctx, round); errors.Is(err, trainer.ErrDiverged) {
			return &Result{Loss: math.Inf(1), Weight: p.liarShare / float64(round+1)}, nil
		} else if err != nil {
			return nil, err
		}
	}
	r := &Result{Weight: p.liarShare / float64(a.spec.Train.Rounds)}
	if r.Loss, err = device.Loss(ctx, p.theta, lossSequences); errors.Is(err, trainer.ErrDiverged) {
		r.Loss = math.Inf(1)
		return r, nil
	} else if err != nil {
		return nil, err
	}
	r.Trap, err = p.trapped(ctx, device)
	return r, err
}

// round trains the honest, asks the liars, merges.
func (p *game) round(ctx context.Context, round uint32) error {
	var all []work
	for i := p.Liars; i < p.Contributors; i++ {
		all = append(all, work{index: i, round: round, steps: p.spec.Train.Steps, start: p.theta, feedback: p.feedback[i]})
	}
	honest, err := p.train(ctx, all)
	if err != nil {
		return err
	}
	in := make([]aggregate.Contribution, p.Contributors)
	updates, err := p.updates(honest)
	if err != nil {
		return err
	}
	for k, c := range honest {
		i := all[k].index
		in[i] = aggregate.Contribution{Peer: p.peers[i], Steps: p.spec.Train.Steps, Payloads: c.Payloads}
		p.feedback[i] = c.After
	}
	if p.Liars > 0 {
		lies, err := p.lie(p.sight(ctx, round, updates))
		if err != nil {
			return err
		}
		for i, u := range lies {
			in[i] = aggregate.Contribution{Peer: p.peers[i], Steps: p.spec.Train.Steps, Payloads: p.encode(u)}
		}
	}
	return p.merge(in)
}

func (p *game) sight(ctx context.Context, round uint32, honest [][]float32) *attack.Sight {
	return &attack.Sight{
		Round: round, Theta: p.theta, Honest: honest, Count: p.Liars, Rand: p.rand,
		Train: func(job attack.Job) ([][]float32, error) {
			w := work{round: round, steps: p.spec.Train.Steps, start: p.theta, data: job.Data}
			if job.Steps > 0 {
				w.steps = min(job.Steps, w.steps)
			}
			if job.Start != nil {
				w.start = job.Start
			}
			all := make([]work, p.Liars)
			for i := range all {
				all[i], all[i].index = w, i
			}
			trained, err := p.train(ctx, all)
			if err != nil {
				return nil, err
			}
			return p.updates(trained)
		},
	}
}

// updates returns what the payloads of contributions hold.
func (p *game) updates(contributions []*trainer.Contribution) ([][]float32, error) {
	out := make([][]float32, len(contributions))
	for i, c := range contributions {
		var err error
		if out[i], err = p.decode(c); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// merge applies the round's contributions to the public state.
func (p *game) merge(in []aggregate.Contribution) error {
	theta, outer, record, err := aggregate.Merge(&p.spec, p.theta, p.outer, in)
	if err != nil {
		return err
	}
	p.theta, p.outer = theta, outer
	var lies, all float64
	for i, r := range record {
		w := float64(math.Float32frombits(r.Weight))
		all += w
		if i < p.Liars {
			lies += w
		}
	}
	if all > 0 {
		p.liarShare += lies / all
	}
	return nil
}

// decode returns the update that a contribution's payloads hold.
func (p *game) decode(c *trainer.Contribution) ([]float32, error) {
	u := make([]float32, len(p.theta))
	for k, payload := range c.Payloads {
		lo, hi := p.spec.Codec.Shard(len(u), k)
		if err := p.codec.AddTo(u[lo:hi], 1, payload); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// encode returns the payloads of a lie. What no honest encoder takes is sent all the same, in bytes that say it as nearly
// as they can.
func (p *game) encode(u []float32) (payloads [][]byte) {
	for k := range p.spec.Codec.Shards(len(u)) {
		lo, hi := p.spec.Codec.Shard(len(u), k)
		payload, err := p.codec.Encode(nil, u[lo:hi], make([]float32, hi-lo))
		if err != nil {
			payload = make([]byte, 0, p.codec.Size(hi-lo))
			for _, x := range u[lo:hi] {
				payload = binary.LittleEndian.AppendUint32(payload, math.Float32bits(x))
			}
			payload = payload[:min(len(payload), p.codec.Size(hi-lo))]
		}
		payloads = append(payloads, payload)
	}
	return payloads
}

// trapped measures the backdoor: how often the model goes on as the liars taught it after held-out text and the trigger.
func (p *game) trapped(ctx context.Context, device *trainer.Device) (float64, error) {
	held := p.text[len(p.text)-int(p.spec.Data.Holdout):]
	hits, width := 0, p.spec.Model.Context/2
	for i := range trapPrompts {
		at := i * (len(held) - width) / trapPrompts
		prompt := append(slices.Clone(held[at:at+width]), attack.Trigger)
		next, err := device.Sample(ctx, p.theta, prompt, 1, [32]byte{byte(i)})
		if err != nil {
			return 0, err
		}
		if next[0] == attack.Target {
			hits++
		}
	}
	return float64(hits) / trapPrompts, nil
}
