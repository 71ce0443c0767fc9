package main

import (
	"os"
	"strconv"
	"strings"
)

// busyShare is the share of the machine above which other programs are said to disturb a measurement.
const busyShare = 0.05

// load is processor time since the start of the machine, in ticks, as Linux counts it. It is zero elsewhere.
type load struct {
	total, busy uint64 // of all cores; busy includes time that the hypervisor gave to other guests
	own         uint64 // this process and its children that have ended
}

// readLoad reads the processor time so far.
func readLoad() load {
	system, err := os.ReadFile("/proc/stat")
	if err != nil {
		return load{}
	}
	self, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return load{}
	}
	return parseLoad(string(system), string(self))
}

// parseLoad reads /proc/stat and /proc/self/stat, proc(5). It returns zero for what it does not understand.
func parseLoad(system, self string) load {
	var l load
	line, _, _ := strings.Cut(system, "\n")
	fields := strings.Fields(line) // cpu user nice system idle iowait irq softirq steal guest guest_nice
	if len(fields) < 9 || fields[0] != "cpu" {
		return load{}
	}
	for i, f := range fields[1:9] {
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return load{}
		}
		l.total += n
		if i != 3 && i != 4 { // idle, iowait
			l.busy += n
		}
	}
	_, rest, _ := strings.Cut(self[max(strings.LastIndexByte(self, ')'), 0):], " ") // the name may hold anything
	fields = strings.Fields(rest)
	if len(fields) < 15 {
		return load{}
	}
	for _, f := range fields[11:15] { // utime stime cutime cstime
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return load{}
		}
		l.own += n
	}
	return l
}

// foreign returns the share of the machine that other programs used between two readings, 0 if it does not matter or is
// not known.
func foreign(a, b load) float64 {
	total, busy, own := b.total-a.total, b.busy-a.busy, b.own-a.own
	if total < 20 || busy <= own { // 20 ticks are less than a quarter of a second of one core
		return 0
	}
	if share := float64(busy-own) / float64(total); share > busyShare {
		return share
	}
	return 0
}
