//go:build linux && cgo

package gpu

import (
	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

func load() (library, error) { return goNVML{nvml.New()}, nil }

// goNVML is go-nvml as a library.
type goNVML struct{ lib nvml.Interface }

func (n goNVML) Init() code     { return code(n.lib.Init()) }
func (n goNVML) Shutdown() code { return code(n.lib.Shutdown()) }

func (n goNVML) Driver() (string, code) {
	v, c := n.lib.SystemGetDriverVersion()
	return v, code(c)
}

func (n goNVML) Count() (int, code) {
	v, c := n.lib.DeviceGetCount()
	return v, code(c)
}

func (n goNVML) Device(index int) (device, code) {
	d, c := n.lib.DeviceGetHandleByIndex(index)
	return goDevice{d}, code(c)
}

type goDevice struct{ nvml.Device }

func (d goDevice) Name() (string, code) {
	v, c := d.GetName()
	return v, code(c)
}

func (d goDevice) UUID() (string, code) {
	v, c := d.GetUUID()
	return v, code(c)
}

func (d goDevice) Memory() (total, used uint64, c code) {
	v, r := d.GetMemoryInfo()
	return v.Total, v.Used, code(r)
}

func (d goDevice) Busy() (uint32, code) {
	v, c := d.GetUtilizationRates()
	return v.Gpu, code(c)
}

func (d goDevice) Celsius() (uint32, code) {
	v, c := d.GetTemperature(nvml.TEMPERATURE_GPU)
	return v, code(c)
}

func (d goDevice) Power() (uint32, code) {
	v, c := d.GetPowerUsage()
	return v, code(c)
}

func (d goDevice) PowerLimit() (uint32, code) {
	v, c := d.GetEnforcedPowerLimit()
	return v, code(c)
}

func (d goDevice) Clock(kind uint32) (uint32, code) {
	v, c := d.GetClockInfo(nvml.ClockType(kind))
	return v, code(c)
}

func (d goDevice) Throttle() (uint64, code) {
	v, c := d.GetCurrentClocksThrottleReasons() // the name that old drivers know
	return v, code(c)
}

func (d goDevice) Processes() (all []Process, c code) {
	compute, r := d.GetComputeRunningProcesses()
	if r != nvml.SUCCESS {
		return nil, code(r)
	}
	graphics, r := d.GetGraphicsRunningProcesses()
	if r != nvml.SUCCESS && r != nvml.ERROR_NOT_SUPPORTED {
		return nil, code(r)
	}
	for i, list := range [][]nvml.ProcessInfo{compute, graphics} {
		for _, p := range list {
			all = append(all, Process{PID: int(p.Pid), Memory: known(p.UsedGpuMemory), Compute: i == 0})
		}
	}
	return all, success
}

func (d goDevice) Shares() (map[int]int, code) {
	samples, c := d.GetProcessUtilization(0)
	if c != nvml.SUCCESS {
		return nil, code(c)
	}
	var s shares
	for _, x := range samples {
		s.add(x.Pid, x.TimeStamp, x.SmUtil)
	}
	return s.busy, success
}
