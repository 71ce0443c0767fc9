package main

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"drystone/internal/durable"
	"drystone/protocol"
	"drystone/trainer"
)

// result is what an arm came to with a seed. It is a function of the arm, the trial and the seed, but for Seconds.
type result struct {
	Arm     string  `json:"arm"`
	Seed    uint64  `json:"seed"`
	Loss    float64 `json:"loss"` // held out, at the end
	Curve   []point `json:"curve"`
	Up      float64 `json:"up"` // times below float32, payloads alone; 0 for one worker
	Down    float64 `json:"down"`
	State   string  `json:"state"`   // digest of theta at the end
	Seconds float64 `json:"seconds"` // of training, on a machine that may have been busy
}

func (r *result) traffic() string {
	return fmt.Sprintf("payloads %.0f times below float32 up and %.0f down", r.Up, r.Down)
}

// stateFile keeps an arm with a seed in the state directory:
//
//	NAME.course   where it stands, until it is done
//	NAME.json     its result
//
// NAME ends in a digest of all that the result depends on, so that what was trained with other settings is never taken
// for it.
type stateFile struct{ path string }

func (e *Env) stateFile(t *lossTrial, a *arm, seed uint64) (*stateFile, error) {
	if err := os.MkdirAll(e.State, 0o755); err != nil {
		return nil, err
	}
	key := fmt.Appendf(nil, "%s alone %d keep %v workers %d steps %d points %d scored %d", t.corpus.digest, a.Alone, a.Keep, t.workers, t.steps, t.points, t.scored)
	for phase := range max(len(a.Phases), 1) {
		spec := t.spec(a, seed)
		t.choose(a, phase)(&spec)
		b, err := protocol.Encode(&spec)
		if err != nil {
			return nil, err
		}
		key = append(key, b...)
	}
	name := strings.ReplaceAll(strings.ReplaceAll(a.Name, ",", ""), " ", "-")
	return &stateFile{filepath.Join(e.State, fmt.Sprintf("%s-%s-seed%d-%s", t.model.Name, name, seed, protocol.Hash("bench/arm", key).Short()))}, nil
}

// result returns nil if there is none yet.
func (f *stateFile) result() (*result, error) {
	b, err := os.ReadFile(f.path + ".json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var r result
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		return nil, fmt.Errorf("%s.json: %w; remove it to train this arm again", f.path, err)
	}
	return &r, nil
}

// course returns where the arm stands: at its beginning if nothing was kept.
func (f *stateFile) course() (*course, error) {
	var c course
	b, err := os.ReadFile(f.path + ".course")
	if errors.Is(err, fs.ErrNotExist) {
		return &c, nil
	}
	if err == nil {
		err = gob.NewDecoder(bytes.NewReader(b)).Decode(&c)
	}
	if err != nil {
		return nil, fmt.Errorf("%s.course: %w; remove it to train this arm again", f.path, err)
	}
	return &c, nil
}

func (f *stateFile) keep(c *course) error {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(c); err != nil {
		return err
	}
	return durable.WriteFile(f.path+".course", b.Bytes(), 0o644)
}

// finish writes the result and forgets the way to it.
func (f *stateFile) finish(c *course, a *arm, seed uint64) (*result, error) {
	r := &result{Arm: a.Name, Seed: seed, Loss: c.Curve[len(c.Curve)-1].Loss, Curve: c.Curve, Seconds: c.Seconds,
		State: trainer.Root(c.Theta).String()}
	if c.Up > 0 {
		dense := 4 * float64(len(c.Theta)) * float64(c.Rounds)
		r.Up, r.Down = dense/float64(c.Up), dense/float64(c.Dn)
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := durable.WriteFile(f.path+".json", b, 0o644); err != nil {
		return nil, err
	}
	if err := os.Remove(f.path + ".course"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return r, nil
}
