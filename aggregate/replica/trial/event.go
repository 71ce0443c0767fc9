package trial

import (
	"drystone/protocol"
)

// setup is the first line that a member reads, as JSON.
type setup struct {
	plan
	Dir    string
	Member int // place among the aggregators
}

// Event is a line that a member writes.
type Event struct {
	Member int    `json:"-"`
	Kind   string // as below
	Addr   string `json:",omitempty"` // of "up"
	Phase  string `json:",omitempty"` // of "phase" and "dying"
	Round  uint32 `json:",omitempty"`
	Leads  bool   `json:",omitempty"` // of "phase": this member leads
	Leaf   string `json:",omitempty"` // of "acked": hash of the record, which is a leaf
	Nano   int64  `json:",omitempty"` // of "dying" and "probed": the time of day
	Error  string `json:",omitempty"` // of "stopped" and "failed"
	End    *End   `json:",omitempty"` // of "end"
}

// Kinds of events.
const (
	kindUp      = "up"      // the host listens
	kindPhase   = "phase"   // the machine entered a phase
	kindAcked   = "acked"   // Propose returned nil
	kindDying   = "dying"   // kills itself now
	kindProbed  = "probed"  // a probe is logged
	kindStopped = "stopped" // the replica stopped by itself
	kindEnd     = "end"     // the run is finished here
)

// End is what a member holds when its run is finished.
type End struct {
	Outcome protocol.Digest // see outcome
	State   protocol.Digest // of the machine's snapshot
	LogSize uint64
	LogRoot protocol.Digest
}
