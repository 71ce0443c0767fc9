package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// busyShare is the share of the machine above which other programs are said to disturb a measurement.
const busyShare = 0.05

// load is processor time since the start of the machine, in ticks, as Linux counts it. It is zero elsewhere.
type load struct {
	total, busy uint64 // of all cores; busy includes time that the hypervisor gave to other guests
	own         uint64 // this process and all that it started, directly or not
}

// readLoad reads the processor time so far.
func readLoad() load {
	system, err := os.ReadFile("/proc/stat")
	if err != nil {
		return load{}
	}
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return load{}
	}
	var processes []string
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil { // else it has just ended
			processes = append(processes, string(b))
		}
	}
	return parseLoad(string(system), processes, os.Getpid())
}

// parseLoad reads /proc/stat and the /proc/PID/stat of all processes, proc(5). It returns zero for what it does not
// understand.
func parseLoad(system string, processes []string, self int) load {
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
	all := map[int]process{}
	for _, stat := range processes {
		if pid, p, ok := parseProcess(stat); ok {
			all[pid] = p
		}
	}
	if _, ok := all[self]; !ok {
		return load{}
	}
	for pid, p := range all {
		for range len(all) { // bounds the way up, should the table not be a tree
			if pid == self {
				l.own += p.ticks
				break
			}
			parent, ok := all[pid]
			if !ok {
				break
			}
			pid = parent.parent
		}
	}
	return l
}

// process is one line of /proc/PID/stat.
type process struct {
	parent int
	ticks  uint64 // its own, and those of its children that have ended
}

func parseProcess(stat string) (pid int, p process, ok bool) {
	id, rest, _ := strings.Cut(stat, " ")
	pid, err := strconv.Atoi(id)
	if err != nil {
		return 0, p, false
	}
	_, rest, _ = strings.Cut(rest[max(strings.LastIndexByte(rest, ')'), 0):], " ") // the name may hold anything
	fields := strings.Fields(rest)
	if len(fields) < 15 {
		return 0, p, false
	}
	if p.parent, err = strconv.Atoi(fields[1]); err != nil {
		return 0, p, false
	}
	for _, f := range fields[11:15] { // utime stime cutime cstime
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return 0, p, false
		}
		p.ticks += n
	}
	return pid, p, true
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
