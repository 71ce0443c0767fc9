package trainer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"drystone/internal/durable"
	"drystone/models"
	"drystone/protocol"
)

// maxRecord bounds the CBOR record of a contribution: 4096 states of about 110 bytes, 2^16 losses, 2^14 salts and shards.
const maxRecord = 2 << 20

// record is what a contribution is, without its vectors and payloads.
type record struct {
	_      struct{} `cbor:",toarray"`
	Run    protocol.Digest
	Round  uint32
	Index  uint32
	Steps  uint32
	Shards []uint32 // of a partial assignment
	Peer   protocol.PeerID
	Start  protocol.TraceStart
	States []protocol.TraceState
	End    protocol.TraceEnd
	Losses []byte // little-endian float32
	Salts  []byte // 16 bytes per assigned shard
}

// ContributionStore keeps the last contributions of one peer to one run in a directory of its own, so that they survive
// the process. One process at a time may use the directory. It is safe for concurrent use.
type ContributionStore struct {
	dir    string
	spec   *protocol.RunSpec
	run    protocol.Digest
	params int
	keep   uint32
}

// OpenContributions opens the store in dir and makes dir if absent. It keeps the contributions of the last keep rounds,
// at least 1: enough that every opening which a verifier may still ask for is there.
func OpenContributions(dir string, spec *protocol.RunSpec, run protocol.Digest, keep uint32) (*ContributionStore, error) {
	_, params, err := models.Layout(spec.Model)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open contributions: %w", err)
	}
	s := &ContributionStore{dir, spec, run, params, max(keep, 1)}
	return s, s.remove(func(name string) bool { return strings.HasPrefix(name, ".tmp-") })
}

// folder is the box of one round.
type folder struct{ prefix string }

func (f folder) put(name string, data []byte) error {
	return durable.WriteFile(f.prefix+name, data, 0o600)
}

func (f folder) get(name string) ([]byte, error) {
	data, err := os.ReadFile(f.prefix + name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrNoContribution, err)
	}
	return data, err
}

const recordName = "contribution"

func roundName(round uint32) string { return fmt.Sprintf("r%08d.", round) }

func (s *ContributionStore) folder(round uint32) folder {
	return folder{filepath.Join(s.dir, roundName(round))}
}

// create makes room for a round's contribution; one that is there, whole or half, goes.
func (s *ContributionStore) create(a protocol.Assignment) (box, error) {
	if a.Run != s.run {
		return nil, fmt.Errorf("%w: run %s, this store is for %s", ErrAssignment, a.Run.Short(), s.run.Short())
	}
	f := s.folder(a.Round)
	if err := os.Remove(f.prefix + recordName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("replace contribution: %w", err)
	}
	return f, s.remove(func(name string) bool { return strings.HasPrefix(name, roundName(a.Round)) })
}

// seal writes the record, which makes the contribution complete, and prunes old rounds.
func (s *ContributionStore) seal(c *Contribution) error {
	a := c.Assignment
	r := record{
		Run: a.Run, Round: a.Round, Index: a.Index, Steps: a.Steps, Shards: a.Shards, Peer: c.Peer,
		Start: c.Start, States: c.States, End: c.End, Losses: floatBytes(c.Losses),
	}
	for _, salt := range c.Salts {
		r.Salts = append(r.Salts, salt[:]...)
	}
	data, err := protocol.Encode(r)
	if err != nil {
		return err
	}
	if err := c.box.put(recordName, data); err != nil {
		return err
	}
	return s.remove(func(name string) bool {
		round, ok := roundOf(name)
		return ok && uint64(round)+uint64(s.keep) <= uint64(a.Round)
	})
}

func roundOf(name string) (round uint32, ok bool) {
	n, err := fmt.Sscanf(name, "r%d.", &round)
	return round, err == nil && n == 1
}

func (s *ContributionStore) remove(match func(name string) bool) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("list contributions: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() || !match(e.Name()) {
			continue
		}
		if err := os.Remove(filepath.Join(s.dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove old contribution: %w", err)
		}
	}
	return nil
}

// Rounds returns the rounds with a complete contribution, ascending.
func (s *ContributionStore) Rounds() ([]uint32, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list contributions: %w", err)
	}
	var rounds []uint32
	for _, e := range entries {
		if round, ok := roundOf(e.Name()); ok && e.Name() == roundName(round)+recordName {
			rounds = append(rounds, round)
		}
	}
	slices.Sort(rounds)
	return rounds, nil
}

// Load returns the contribution to a round, checked against its own digests. Errors: ErrNoContribution, ErrCorrupt.
func (s *ContributionStore) Load(round uint32) (*Contribution, error) {
	f := s.folder(round)
	data, err := f.get(recordName)
	if err != nil {
		return nil, fmt.Errorf("round %d: %w", round, err)
	}
	var r record
	if err := protocol.Decode(data, maxRecord, &r); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, f.prefix+recordName, err)
	}
	if err := s.check(&r, round); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, f.prefix+recordName, err)
	}
	c := &Contribution{
		Assignment: protocol.Assignment{Run: r.Run, Round: r.Round, Index: r.Index, Steps: r.Steps, Shards: r.Shards}, Peer: r.Peer,
		Start: r.Start, States: r.States, End: r.End,
		spec: s.spec, params: s.params, box: f,
	}
	if len(r.Shards) == 0 {
		c.Assignment.Shards = nil
	}
	for i := 0; i+4 <= len(r.Losses); i += 4 {
		c.Losses = append(c.Losses, math.Float32frombits(binary.LittleEndian.Uint32(r.Losses[i:])))
	}
	return c, s.fill(c, r.Salts, f)
}

// check compares the record with the run.
func (s *ContributionStore) check(r *record, round uint32) error {
	switch {
	case r.Run != s.run || r.Round != round:
		return fmt.Errorf("it is of round %d of run %s", r.Round, r.Run.Short())
	case r.Steps < 1 || r.Steps > s.spec.Train.Steps || len(r.States) != int(s.spec.Segments(r.Steps)):
		return fmt.Errorf("%d steps with %d states", r.Steps, len(r.States))
	case len(r.Salts) != 16*s.spec.Codec.Owed(s.params, r.Shards):
		return fmt.Errorf("%d bytes of salts", len(r.Salts))
	}
	return checkShards(&s.spec.Codec, s.params, r.Shards)
}

// fill reads the payloads and the error feedback and checks them against the trace.
func (s *ContributionStore) fill(c *Contribution, salts []byte, f folder) error {
	for i := range len(salts) / 16 {
		payload, err := f.get(payloadName(protocol.ShardAt(c.Assignment.Shards, i)))
		if err != nil {
			return err
		}
		c.Payloads, c.Salts = append(c.Payloads, payload), append(c.Salts, [16]byte(salts[16*i:]))
	}
	if protocol.RootOf(c.payloadLeaves()) != c.End.Payload {
		return fmt.Errorf("%w: %spayload-*: not what the trace names", ErrCorrupt, f.prefix)
	}
	if c.End.Feedback.IsZero() {
		return nil
	}
	data, err := f.get("after")
	if err != nil {
		return err
	}
	if c.After, err = parseFloats("error feedback", data, s.params); err != nil || Root(c.After) != c.End.Feedback {
		return fmt.Errorf("%w: %safter: not what the trace names", ErrCorrupt, f.prefix)
	}
	return nil
}

// Latest returns the contribution to the last complete round, or ErrNoContribution.
func (s *ContributionStore) Latest() (*Contribution, error) {
	rounds, err := s.Rounds()
	if err != nil {
		return nil, err
	}
	if len(rounds) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrNoContribution, s.dir)
	}
	return s.Load(rounds[len(rounds)-1])
}
