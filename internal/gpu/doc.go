// Package gpu tells what NVIDIA cards do, and paces work on them by what a person allows. It computes nothing: see
// docs/gpu.md for what does.
//
//	m, err := gpu.Open()                       // errors.Is(err, gpu.ErrNoDriver) on most machines
//	defer m.Close()
//	for _, c := range m.Cards() { ... }        // a reading of every card now
//
// # Where readings come from
//
// NVML, the management library that comes with the driver, and it is opened when the program runs: nothing here needs a
// driver, a toolkit or a C compiler to build or to start.
//
//	Linux with cgo       go-nvml
//	Linux without cgo    libnvidia-ml.so.1, opened with purego
//	Windows              nvml.dll, which lies beside the driver, opened by the system's loader
//	else                 ErrNoDriver
//
// The calls that are used are one small interface (library, device), and one function reads a Card through it, so that all
// three give the same. What a card does not report is unknown (-1), never 0.
//
// # Pacing
//
// [Limits.Judge] is the policy, a function of a reading alone; [Pacer] asks it between steps of training and waits while it
// objects. A card that cannot be read while limits are set is not worked on: a limit that cannot be watched is not kept.
//
// A Monitor and a Pacer are safe for concurrent use. The package starts no goroutine.
package gpu
