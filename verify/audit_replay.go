package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"drystone/internal/delta"
	"drystone/protocol"
)

// redo is what L2 found for one check; nil pointers and false mean that it could not look.
type redo struct {
	replayed bool
	chunks   bool
	replay   error // how the replayed states differ from the committed ones
	payload  error // how a codec chunk differs
}

// replays is L2: train again from the public parameters through every drawn segment and compare with the committed
// states, and encode the opened codec chunks again. It serves segment and prefix checks alike.
func (a *audit) replays(ctx context.Context) error {
	theta, err := a.theta(ctx, a.open.From())
	if errors.Is(err, ErrMissing) {
		a.r.skip(L2, "replay: %v", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	replayer, err := a.replayer(ctx)
	if err != nil {
		return fmt.Errorf("audit: replay: %w", err)
	}
	task, codec, err := a.task(ctx, theta)
	if err != nil {
		return fmt.Errorf("audit: codec: %w", err)
	}
	complete, some := len(a.p.Checks) > 0, false
	for i := range a.p.Checks {
		if len(a.p.Checks[i].Opening) == 0 {
			a.r.skip(L2, "check %d: the proof holds no opening, so what its verdicts say of the trace stands on the word of those who signed them", i)
			seen, err := a.compareVerdicts(ctx, i, replayer, theta)
			if err != nil {
				return err
			}
			complete, some = false, some || seen
			continue
		}
		found, err := a.redo(ctx, i, replayer, task, codec)
		if err != nil {
			return fmt.Errorf("audit: check %d: %w", i, err)
		}
		settled, err := a.weigh(i, found)
		if err != nil {
			return &Failure{L2, fmt.Sprintf("check %d", i), err}
		}
		complete, some = complete && settled && found.replayed && found.chunks, some || found.replayed || found.chunks
	}
	switch {
	case complete:
		a.r.Levels[L2].Status = StatusPassed
	case some:
		a.r.Levels[L2].Status = StatusPartly
	}
	if len(a.p.Checks) == 0 {
		a.r.skip(L2, "replay: the proof holds no check")
	}
	return nil
}

func (a *audit) theta(ctx context.Context, root protocol.Digest) ([]float32, error) {
	b, err := a.blob(ctx, "parameters", root, 4*int64(a.params))
	if err != nil {
		return nil, err
	}
	if len(b) != 4*a.params {
		return nil, &Failure{L2, "Open", fmt.Errorf("parameters %s have %d bytes, want %d", root.Short(), len(b), 4*a.params)}
	}
	return bytesFloat(b), nil
}

// replayer returns nil if this auditor cannot train.
func (a *audit) replayer(ctx context.Context) (Replayer, error) {
	if a.o.Replayer == nil {
		a.r.skip(L2, "replay: no engine at hand")
		return nil, nil
	}
	r, err := a.o.Replayer(ctx, a.spec, a.o.Blobs)
	if errors.Is(err, ErrMissing) {
		a.r.skip(L2, "replay: %v", err)
		return nil, nil
	}
	return r, err
}

// task gathers what checkChunk needs; it has no shards if a payload is missing.
func (a *audit) task(ctx context.Context, theta []float32) (*Task, delta.Codec, error) {
	t := &Task{Spec: a.spec, Params: a.params, Theta: theta,
		Assignment: protocol.Assignment{Run: a.run, Round: a.p.Open.Statement.Round, Shards: a.shards}}
	codec, err := delta.New(a.spec.Codec)
	if err != nil {
		return nil, codec, err
	}
	payloads, err := a.payloads(ctx, a.place)
	if errors.Is(err, ErrMissing) {
		a.r.skip(L2, "codec chunks: %v", err)
		return t, codec, nil
	}
	for _, p := range payloads {
		t.Shards = append(t.Shards, Shard{Payload: p})
	}
	return t, codec, err
}

func (a *audit) payloads(ctx context.Context, place int) ([][]byte, error) {
	refs := a.p.Payloads[place].Shards
	out := make([][]byte, len(refs))
	for i, ref := range refs {
		b, err := a.blob(ctx, fmt.Sprintf("payload %d of %s", i, a.revealSet.Set[place].Peer.Short()), ref.Digest, protocol.MaxMessage)
		if err != nil {
			return nil, err
		}
		out[i] = b
	}
	return out, nil
}

// state returns the state that training from the public parameters reaches after a step.
func (a *audit) state(ctx context.Context, r Replayer, theta []float32, step uint32) (protocol.TraceState, error) {
	if st, ok := a.states[step]; ok {
		return st, nil
	}
	c := &a.p.Commit.Body
	as := protocol.Assignment{Run: a.run, Round: c.Round, Index: a.index, Steps: c.Steps, Shards: a.shards}
	st, err := r.Replay(ctx, as, theta, nil, nil, 0, step)
	if err == nil {
		a.states[step] = st
		a.r.Coverage.ReplayedSteps = max(a.r.Coverage.ReplayedSteps, step)
	}
	return st, err
}

// redo does one check again.
func (a *audit) redo(ctx context.Context, i int, r Replayer, t *Task, codec delta.Codec) (redo, error) {
	o := &a.p.Checks[i].Opening[0]
	found := redo{replayed: r != nil, chunks: t.Shards != nil || len(o.Chunks) == 0}
	if r != nil {
		for _, want := range []protocol.TraceState{o.To, o.From} {
			if want.Step == 0 || (want == o.From && (found.replay != nil || !failed(a.standings[i]))) {
				continue // the state before the segment matters only to a conviction that the one after does not explain
			}
			st, err := a.state(ctx, r, t.Theta, want.Step)
			switch {
			case errors.Is(err, ErrDiverged):
				found.replay = fmt.Errorf("training from the public parameters diverges before step %d: %w", want.Step, err)
			case err != nil:
				return found, err
			case st != want:
				found.replay = fmt.Errorf("training from the public parameters gives another state after step %d than the one committed", want.Step)
			}
		}
	}
	if t.Shards == nil {
		return found, nil
	}
	for j := range o.Chunks {
		bad, err := checkChunk(t, codec, &o.Chunks[j])
		if err != nil {
			return found, err
		}
		a.r.Coverage.CheckedChunks++
		found.payload = errors.Join(found.payload, bad)
	}
	return found, nil
}

// compareVerdicts serves a check without its opening: it replays what the verifiers did and compares the states that
// their verdicts name. It reports whether it could look.
func (a *audit) compareVerdicts(ctx context.Context, i int, r Replayer, theta []float32) (bool, error) {
	verdicts := a.p.Checks[i].Verdicts
	if r == nil || len(verdicts) == 0 {
		return false, nil
	}
	_, to := SegmentSteps(a.spec, a.p.Commit.Body.Steps, a.challenges[i].Segment)
	st, err := a.state(ctx, r, theta, to)
	if err != nil && !errors.Is(err, ErrDiverged) {
		return false, fmt.Errorf("audit: check %d: %w", i, err)
	}
	for j := range verdicts {
		v := &verdicts[j].Verdict.Body
		switch same := err == nil && v.States == protocol.StatesDigest(v.Verifier, st); {
		case same:
			a.r.note(L2, "check %d: replayed from the public parameters to step %d: the state that the verdict of %s names", i, to, v.Verifier.Short())
		case v.Outcome == protocol.Passed:
			return true, &Failure{L2, fmt.Sprintf("check %d: verdict %d", i, j),
				fmt.Errorf("training from the public parameters does not give the state after step %d that %s passed", to, v.Verifier.Short())}
		}
	}
	return true, nil
}

// weigh compares what the audit found with the verdicts. It fails if they contradict each other; settled is false if the
// audit could not decide.
func (a *audit) weigh(i int, found redo) (settled bool, err error) {
	wrong := found.replay
	if wrong == nil {
		wrong = found.payload
	}
	if !failed(a.standings[i]) {
		if wrong != nil {
			return false, fmt.Errorf("%w; the verdicts did not refute the contribution", wrong)
		}
		if found.replayed {
			a.r.note(L2, "check %d: replayed from the public parameters to step %d: equal to the committed state", i, a.p.Checks[i].Opening[0].To.Step)
		}
		if found.chunks {
			a.r.note(L2, "check %d: %d codec chunks encoded again: equal to the payload", i, len(a.challenges[i].Chunks))
		}
		return true, nil
	}
	if wrong != nil {
		a.r.note(L2, "check %d: the refutation stands: %v", i, wrong)
		return true, nil
	}
	looked := map[protocol.Outcome]bool{protocol.Mismatch: found.replayed, protocol.BadPayload: found.chunks}
	if !slices.ContainsFunc(a.p.Checks[i].Verdicts, func(v VerdictRecord) bool {
		return v.Verdict.Body.Outcome != protocol.Passed && !looked[v.Verdict.Body.Outcome]
	}) {
		return false, errors.New("the refutation does not stand: replay and codec reproduce what was committed")
	}
	a.r.skip(L2, "check %d: whether the refutation stands: what it rests on is not in the file", i)
	return false, nil
}
