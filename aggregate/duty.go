package aggregate

import (
	"fmt"

	"drystone/protocol"
)

// Duty is something that an aggregator should do now. Duties follow from the state alone, so a restarted node finds the
// same ones again; each ends when the record that discharges it is accepted, or when its time is over.
type Duty interface {
	// Key names the duty: equal for the same duty at different times and on different nodes.
	Key() string
}

// DutySign asks for a Cosign of a statement that the machine derived. Ask Machine.MaySign first.
type DutySign struct {
	Statement protocol.Statement
	Shards    []ShardRoots // that a Certificate is put together from, ascending; nil if it is not, or nothing changes
}

// ShardRoots are the MerkleRoots of one shard's parameters and outer state.
type ShardRoots struct{ Model, Outer protocol.Digest }

// DutyGather asks for an Attest: collect the reveals of a frozen commit, check them, keep them.
type DutyGather struct {
	Round  uint32
	Frozen protocol.Digest // F_r, for Reveal.Check
	Commit protocol.Signed[protocol.Commit]
	Shards []uint32 // that the peer was assigned, ascending; nil for all
	Own    []uint32 // of those, the ones that this aggregator owns and has not attested to, ascending; nil for all of them
}

// DutyMerge asks for a Cosign of the Certificate: merge the RevealSet's contributions into the state that Open names.
type DutyMerge struct {
	Round     uint32
	Prev      protocol.Digest // of the RevealSet statement, which the Certificate follows
	Open      protocol.Open
	RevealSet protocol.RevealSet
}

// DutySums asks for a Partial: ShardSums over what the RevealSet's contributions have in one shard.
type DutySums struct {
	DutyMerge
	Shard uint32
	Known []protocol.Digest // of sums that the log holds already, which need not be sent again
}

// DutyShard asks for a ShardCertificate: MergeShard of one shard with the weights of Record.
type DutyShard struct {
	DutyMerge
	Shard  uint32
	Record []protocol.Merged
}

// DutyDraw asks for a Draw: the BLS signature over Message.
type DutyDraw struct {
	Round   uint32
	Message []byte
}

// DutyCheck asks for a Verdict: replay the segment, and compare the chunks, that Drawer's draw chose.
type DutyCheck struct {
	Assignment protocol.Assignment // what the peer had to do; Round and Steps of the contribution
	Peer       protocol.PeerID
	Drawer     protocol.PeerID
	Seed       protocol.Digest
	Segment    uint32
	Chunks     []uint32
	Commit     protocol.Signed[protocol.Commit]
	Start      protocol.TraceStart
	End        protocol.TraceEnd
	Confirm    bool // another's failed check is to be confirmed or contradicted
}

// DutySettle asks for a Settle of an epoch.
type DutySettle struct {
	Epoch    uint64 // from 1
	LogRoot  protocol.Digest
	Work     []Work            // that stands, ascending by round, then peer
	Previous []protocol.Payout // of the epoch before; cumulative, ascending by account
}

// DutyRotate asks for a Rotate: the EIP-712 signature under the rotation that a change of the council needs.
type DutyRotate struct{ Rotation protocol.Rotation }

// DutyCheckpoint asks for a Checkpoint: cosign the transparency log at this size.
type DutyCheckpoint struct {
	Size uint64
	Root protocol.Digest
}

func (d DutySign) Key() string {
	return fmt.Sprintf("sign/%s/%d/%s", d.Statement.Kind, d.Statement.Round, d.Statement.Digest())
}
func (d DutyGather) Key() string {
	key := fmt.Sprintf("gather/%d/%s", d.Round, d.Commit.Digest())
	if d.Own != nil {
		key += fmt.Sprint("/", d.Own)
	}
	return key
}
func (d DutyMerge) Key() string { return fmt.Sprintf("merge/%d/%s", d.Round, d.Prev) }
func (d DutySums) Key() string  { return fmt.Sprintf("sums/%d/%s/%d", d.Round, d.Prev, d.Shard) }
func (d DutyShard) Key() string { return fmt.Sprintf("shard/%d/%s/%d", d.Round, d.Prev, d.Shard) }
func (d DutyDraw) Key() string  { return fmt.Sprintf("draw/%d", d.Round) }
func (d DutyCheck) Key() string {
	return fmt.Sprintf("check/%d/%s/%s", d.Assignment.Round, d.Peer, d.Drawer)
}
func (d DutySettle) Key() string     { return fmt.Sprintf("settle/%d", d.Epoch) }
func (d DutyRotate) Key() string     { return fmt.Sprintf("rotate/%d", d.Rotation.Sequence) }
func (d DutyCheckpoint) Key() string { return fmt.Sprintf("checkpoint/%d", d.Size) }
