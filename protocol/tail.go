package protocol

import (
	"errors"
	"slices"

	"github.com/fxamacker/cbor/v2"
)

// Five messages have last fields that are left out of their array if they are zero or empty, as they are in runs that admit no
// partial peers, without delay, whose aggregators hold everything, and that send whole states down. Still one value has one
// encoding: the longer array with an empty last field is refused.

type joinBase struct {
	_      struct{} `cbor:",toarray"`
	Run    Digest
	Peer   PeerID
	Payout Address
	Nonce  uint64
}

type joinWhole struct {
	_      struct{} `cbor:",toarray"`
	Run    Digest
	Peer   PeerID
	Payout Address
	Nonce  uint64
	Shards uint32
}

type openBase struct {
	_      struct{} `cbor:",toarray"`
	Model  Digest
	Outer  Digest
	Roster []PeerID
}

type openWhole struct {
	_        struct{} `cbor:",toarray"`
	Model    Digest
	Outer    Digest
	Roster   []PeerID
	Capacity []uint32
}

// openDelayed is the Open of a run with a delay. Capacity is there, empty or not, and Start tells the form apart.
type openDelayed struct {
	_        struct{} `cbor:",toarray"`
	Model    Digest
	Outer    Digest
	Roster   []PeerID
	Capacity []uint32
	Start    Digest
	Ahead    []Ahead
}

type attestBase struct {
	_          struct{} `cbor:",toarray"`
	Run        Digest
	Round      uint32
	Peer       PeerID
	Commit     Digest
	Start      TraceStart
	End        TraceEnd
	Aggregator PeerID
}

type attestWhole struct {
	_          struct{} `cbor:",toarray"`
	Run        Digest
	Round      uint32
	Peer       PeerID
	Commit     Digest
	Start      TraceStart
	End        TraceEnd
	Aggregator PeerID
	Shards     []uint32
}

type certificateBase struct {
	_     struct{} `cbor:",toarray"`
	Model Digest
	Outer Digest
	Merge []Merged
}

type certificateWhole struct {
	_       struct{} `cbor:",toarray"`
	Model   Digest
	Outer   Digest
	Merge   []Merged
	Updates []ShardUpdate
}

type shardCertificateBase struct {
	_          struct{} `cbor:",toarray"`
	Run        Digest
	RevealSet  Digest
	Shard      uint32
	Merge      Digest
	Model      Digest
	Outer      Digest
	Finite     bool
	Aggregator PeerID
}

type shardCertificateWhole struct {
	_          struct{} `cbor:",toarray"`
	Run        Digest
	RevealSet  Digest
	Shard      uint32
	Merge      Digest
	Model      Digest
	Outer      Digest
	Finite     bool
	Aggregator PeerID
	Update     ShardUpdate
}

var errEmptyTail = errors.New("the last field is empty and not left out")

// MarshalCBOR implements cbor.Marshaler.
func (j Join) MarshalCBOR() ([]byte, error) {
	if j.Shards == 0 {
		return encMode.Marshal(joinBase{Run: j.Run, Peer: j.Peer, Payout: j.Payout, Nonce: j.Nonce})
	}
	return encMode.Marshal(joinWhole(j))
}

// UnmarshalCBOR implements cbor.Unmarshaler.
func (j *Join) UnmarshalCBOR(data []byte) error {
	if arrayOf(data, 5) {
		if err := decMode.Unmarshal(data, (*joinWhole)(j)); err != nil {
			return err
		}
		if j.Shards == 0 {
			return errEmptyTail
		}
		return nil
	}
	var b joinBase
	err := decMode.Unmarshal(data, &b)
	*j = Join{Run: b.Run, Peer: b.Peer, Payout: b.Payout, Nonce: b.Nonce}
	return err
}

// MarshalCBOR implements cbor.Marshaler.
func (o Open) MarshalCBOR() ([]byte, error) {
	switch {
	case !o.Start.IsZero() || len(o.Ahead) > 0:
		d := openDelayed(o)
		if len(d.Capacity) == 0 {
			d.Capacity = []uint32{}
		}
		if len(d.Ahead) == 0 {
			d.Ahead = []Ahead{}
		}
		return encMode.Marshal(d)
	case len(o.Capacity) > 0:
		return encMode.Marshal(openWhole{Model: o.Model, Outer: o.Outer, Roster: o.Roster, Capacity: o.Capacity})
	}
	return encMode.Marshal(openBase{Model: o.Model, Outer: o.Outer, Roster: o.Roster})
}

// UnmarshalCBOR implements cbor.Unmarshaler.
func (o *Open) UnmarshalCBOR(data []byte) error {
	switch {
	case arrayOf(data, 6):
		if err := decMode.Unmarshal(data, (*openDelayed)(o)); err != nil {
			return err
		}
		if o.Start.IsZero() {
			return errEmptyTail
		}
		if len(o.Capacity) == 0 {
			return nil
		}
		return o.checkCapacity()
	case arrayOf(data, 4):
		var w openWhole
		err := decMode.Unmarshal(data, &w)
		*o = Open{Model: w.Model, Outer: w.Outer, Roster: w.Roster, Capacity: w.Capacity}
		if err != nil {
			return err
		}
		return o.checkCapacity()
	}
	var b openBase
	err := decMode.Unmarshal(data, &b)
	*o = Open{Model: b.Model, Outer: b.Outer, Roster: b.Roster}
	return err
}

func (o *Open) checkCapacity() error {
	switch {
	case !slices.ContainsFunc(o.Capacity, func(c uint32) bool { return c != 0 }):
		return errEmptyTail
	case len(o.Capacity) != len(o.Roster):
		return errors.New("another number of capacities than of peers")
	}
	return nil
}

// MarshalCBOR implements cbor.Marshaler.
func (a Attest) MarshalCBOR() ([]byte, error) {
	if len(a.Shards) == 0 {
		return encMode.Marshal(attestBase{Run: a.Run, Round: a.Round, Peer: a.Peer, Commit: a.Commit, Start: a.Start, End: a.End, Aggregator: a.Aggregator})
	}
	return encMode.Marshal(attestWhole(a))
}

// UnmarshalCBOR implements cbor.Unmarshaler.
func (a *Attest) UnmarshalCBOR(data []byte) error {
	if arrayOf(data, 8) {
		if err := decMode.Unmarshal(data, (*attestWhole)(a)); err != nil {
			return err
		}
		if len(a.Shards) == 0 {
			return errEmptyTail
		}
		return nil
	}
	var b attestBase
	err := decMode.Unmarshal(data, &b)
	*a = Attest{Run: b.Run, Round: b.Round, Peer: b.Peer, Commit: b.Commit, Start: b.Start, End: b.End, Aggregator: b.Aggregator}
	return err
}

// MarshalCBOR implements cbor.Marshaler.
func (c Certificate) MarshalCBOR() ([]byte, error) {
	if len(c.Updates) == 0 {
		return encMode.Marshal(certificateBase{Model: c.Model, Outer: c.Outer, Merge: c.Merge})
	}
	return encMode.Marshal(certificateWhole(c))
}

// UnmarshalCBOR implements cbor.Unmarshaler.
func (c *Certificate) UnmarshalCBOR(data []byte) error {
	if arrayOf(data, 4) {
		if err := decMode.Unmarshal(data, (*certificateWhole)(c)); err != nil {
			return err
		}
		if len(c.Updates) == 0 {
			return errEmptyTail
		}
		return nil
	}
	var b certificateBase
	err := decMode.Unmarshal(data, &b)
	*c = Certificate{Model: b.Model, Outer: b.Outer, Merge: b.Merge}
	return err
}

// MarshalCBOR implements cbor.Marshaler.
func (m ShardCertificate) MarshalCBOR() ([]byte, error) {
	if m.Update == (ShardUpdate{}) {
		return encMode.Marshal(shardCertificateBase{Run: m.Run, RevealSet: m.RevealSet, Shard: m.Shard, Merge: m.Merge, Model: m.Model,
			Outer: m.Outer, Finite: m.Finite, Aggregator: m.Aggregator})
	}
	return encMode.Marshal(shardCertificateWhole(m))
}

// UnmarshalCBOR implements cbor.Unmarshaler.
func (m *ShardCertificate) UnmarshalCBOR(data []byte) error {
	if arrayOf(data, 9) {
		if err := decMode.Unmarshal(data, (*shardCertificateWhole)(m)); err != nil {
			return err
		}
		if m.Update == (ShardUpdate{}) {
			return errEmptyTail
		}
		return nil
	}
	var b shardCertificateBase
	err := decMode.Unmarshal(data, &b)
	*m = ShardCertificate{Run: b.Run, RevealSet: b.RevealSet, Shard: b.Shard, Merge: b.Merge, Model: b.Model, Outer: b.Outer,
		Finite: b.Finite, Aggregator: b.Aggregator}
	return err
}

// arrayOf reports whether data begins as an array of n elements, n below 24.
func arrayOf(data []byte, n int) bool { return len(data) > 0 && data[0] == byte(0x80+n) }

var (
	_ cbor.Marshaler   = Join{}
	_ cbor.Unmarshaler = (*Join)(nil)
	_ cbor.Marshaler   = Open{}
	_ cbor.Unmarshaler = (*Open)(nil)
	_ cbor.Marshaler   = Attest{}
	_ cbor.Unmarshaler = (*Attest)(nil)
	_ cbor.Marshaler   = Certificate{}
	_ cbor.Unmarshaler = (*Certificate)(nil)
	_ cbor.Marshaler   = ShardCertificate{}
	_ cbor.Unmarshaler = (*ShardCertificate)(nil)
)
