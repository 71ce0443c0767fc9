package main

import (
	"os"
	"time"

	"drystone/internal/exact"
	"drystone/node"
	"drystone/protocol"
	"drystone/trainer"
)

// demoDevice is a compute device with the demonstration's model and data.
type demoDevice struct {
	*trainer.Device
	spec  protocol.RunSpec
	run   protocol.Digest
	theta []float32 // of round 0
}

// newDemoDevice makes the device on a code path. With batch above 0 it trains that many sequences per step, and the model
// is that of node.DefaultSpec, the Llama of 0.92 M parameters that speeds are compared on.
func newDemoDevice(path string, threads, batch int) (*demoDevice, error) {
	data, _, err := node.LoadCorpus(nil)
	if err != nil {
		return nil, err
	}
	spec := node.WithData(node.DemoSpec(1, 12, 4), data)
	spec.Founder = protocol.DeriveKey(1, "bench/founder").ID()
	if batch > 0 {
		spec.Train.Batch, spec.Model = batch, node.DefaultSpec().Model
	}
	run, err := spec.ID()
	if err != nil {
		return nil, err
	}
	set, err := trainer.NewDataset(data, spec.Data.Holdout)
	if err != nil {
		return nil, err
	}
	old, had := os.LookupEnv(exact.EnvPath)
	if err := os.Setenv(exact.EnvPath, path); err != nil {
		return nil, err
	}
	d := &demoDevice{spec: spec, run: run}
	d.Device, err = trainer.NewDevice(&d.spec, run, set, threads)
	if had {
		os.Setenv(exact.EnvPath, old)
	} else {
		os.Unsetenv(exact.EnvPath)
	}
	if err != nil {
		return nil, err
	}
	if d.theta, err = d.Genesis(); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// assignment is the first peer's work of round 0.
func (d *demoDevice) assignment() protocol.Assignment {
	return protocol.Assignment{Run: d.run, Steps: d.spec.Train.Steps}
}

// since returns seconds.
func since(start time.Time) float64 { return time.Since(start).Seconds() }
