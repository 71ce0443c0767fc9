package main

import (
	"errors"
	"os"
	"time"

	"drystone/internal/exact"
	"drystone/node"
	"drystone/protocol"
	"drystone/trainer"
)

// device is a compute device that trains on the default text.
type device struct {
	*trainer.Device
	spec  protocol.RunSpec
	run   protocol.Digest
	data  *trainer.Dataset
	theta []float32 // of round 0
}

// newDevice makes the device for a run on a code path. It fills in what the spec says of the data and the founder. The
// choices say how steps are computed: weights and batches are those of the run without them.
func newDevice(spec protocol.RunSpec, path string, threads int, choices ...func(*protocol.RunSpec)) (*device, error) {
	data, _, err := node.LoadCorpus(nil)
	if err != nil {
		return nil, err
	}
	return newDeviceOn(data, node.WithData(spec, data), path, threads, choices...)
}

// newDeviceOn is newDevice for a spec that says what there is to say of the data.
func newDeviceOn(data []byte, spec protocol.RunSpec, path string, threads int, choices ...func(*protocol.RunSpec)) (*device, error) {
	spec.Founder = protocol.DeriveKey(1, "bench/founder").ID()
	run, err := spec.ID()
	if err != nil {
		return nil, err
	}
	for _, choose := range choices {
		choose(&spec)
	}
	set, err := trainer.OpenDataset(spec.Data, data)
	if err != nil {
		return nil, err
	}
	d := &device{spec: spec, run: run, data: set}
	err = onPath(path, func() (err error) {
		d.Device, err = trainer.NewDevice(&d.spec, run, set, threads)
		return err
	})
	if err != nil {
		return nil, err
	}
	if d.theta, err = d.Genesis(); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// onPath calls f with the code path forced.
func onPath(path string, f func() error) error {
	old, had := os.LookupEnv(exact.EnvPath)
	if err := os.Setenv(exact.EnvPath, path); err != nil {
		return err
	}
	err := f()
	if had {
		return errors.Join(err, os.Setenv(exact.EnvPath, old))
	}
	return errors.Join(err, os.Unsetenv(exact.EnvPath))
}

// assignment is the first peer's work of round 0.
func (d *device) assignment() protocol.Assignment {
	return protocol.Assignment{Run: d.run, Steps: d.spec.Train.Steps}
}

// since returns seconds.
func since(start time.Time) float64 { return time.Since(start).Seconds() }
