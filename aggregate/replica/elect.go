package replica

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"drystone/protocol"
)

// Raft by itself elects slowly when a quorum is nearly all who are left: with one of four gone, each of the other three
// has to miss the leader, by a timer of its own that is random between one and two timeouts, before anyone may win; and a
// leader's lease, which bounds the timeout from below, has to be longer than a round trip. Therefore members that hear
// nothing for Timing.Silence ask one another. If a quorum hears nothing, the one with the longest log among them stands
// for election at once, as Raft lets a member do that its leader hands over to (Ongaro, 2014, section 3.10); the others
// leave it to that one. Nothing here can harm safety, which does not depend on when elections are held; and if two stand
// at once, or none, Raft's own timers decide.

// keepWatch stands for election when it is this member's turn, until the replica ends.
func (r *Replica) keepWatch() {
	t := time.NewTicker(r.cfg.Timing.Silence / 8)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-r.ctx.Done():
			return
		}
		if r.leads() || r.silence() < r.cfg.Timing.Silence || !r.isMyTurn() {
			continue
		}
		if err := r.stand(); err != nil {
			r.log.Debug("stand for election", "err", err)
		}
		select { // for the outcome
		case <-time.After(r.cfg.Timing.Election):
		case <-r.ctx.Done():
			return
		}
	}
}

// silence returns how long this member has heard of no leader: 0 if it leads.
func (r *Replica) silence() time.Duration {
	if r.leads() {
		return 0
	}
	last := r.raft.LastContact()
	if last.Before(r.started) {
		last = r.started
	}
	return time.Since(last)
}

// isMyTurn asks the other voters, and reports whether a quorum hears no leader and this member is the first of them.
func (r *Replica) isMyTurn() bool {
	leader, _ := r.Leader()
	var voters []protocol.PeerID
	mine := false
	for _, s := range r.raft.GetConfiguration().Configuration().Servers {
		if id, err := protocol.ParsePeerID(string(s.ID)); err == nil && s.Suffrage == raft.Voter {
			voters = append(voters, id)
			mine = mine || id == r.cfg.Self
		}
	}
	if !mine {
		return false
	}
	answers := make(chan answered, len(voters))
	ctx, cancel := context.WithTimeout(r.ctx, r.cfg.Timing.Silence*3/2) // who does not answer within a long round trip is away too
	defer cancel()
	var asked sync.WaitGroup
	defer asked.Wait()
	asking := 0
	for _, id := range voters {
		if id != r.cfg.Self && id != leader {
			asking++
			asked.Go(func() {
				p, err := r.progress(ctx, id)
				answers <- answered{id, p, err}
			})
		}
	}
	silent, last := 1, r.raft.LastIndex()
	for range asking {
		a := <-answers
		if a.err != nil || a.silence < r.cfg.Timing.Silence/2 {
			continue
		}
		silent++
		if a.last > last || a.last == last && bytes.Compare(a.id[:], r.cfg.Self[:]) < 0 {
			return false
		}
	}
	return silent > len(voters)/2 && r.silence() >= r.cfg.Timing.Silence
}

type answered struct {
	id protocol.PeerID
	progress
	err error
}

// stand makes Raft a candidate at once.
func (r *Replica) stand() error {
	address := raft.ServerAddress(r.cfg.Self.String())
	req := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(r.cfg.Self.String()), Addr: []byte(address)}}
	return r.trans.TimeoutNow(serverID(r.cfg.Self), address, req, &raft.TimeoutNowResponse{})
}

// progress is what a member says of itself.
type progress struct {
	applied uint64        // record
	last    uint64        // record in its log
	silence time.Duration // without a leader, in milliseconds
}

const progressSize = 8 + 8 + 4

// progress asks another member.
func (r *Replica) progress(ctx context.Context, id protocol.PeerID) (p progress, err error) {
	c, err := r.cfg.Streams.OpenStream(ctx, id, streamProgress)
	if err != nil {
		return p, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := c.Write([]byte{0}); err != nil { // libp2p tells the other side with the first bytes
		return p, err
	}
	var b [progressSize]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return p, fmt.Errorf("progress of %s: %w", id.Short(), err)
	}
	return progress{applied: binary.BigEndian.Uint64(b[:]), last: binary.BigEndian.Uint64(b[8:]),
		silence: time.Duration(binary.BigEndian.Uint32(b[16:])) * time.Millisecond}, nil
}

// serveProgress answers members.
func (r *Replica) serveProgress(from protocol.PeerID, c net.Conn) {
	if !r.aggregates(from) || !r.goTask(func() { r.answerProgress(c) }) {
		c.Close()
	}
}

func (r *Replica) answerProgress(c net.Conn) {
	defer c.Close()
	stop := context.AfterFunc(r.ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if c.SetDeadline(time.Now().Add(ioTimeout)) != nil {
		return
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		return
	}
	b := binary.BigEndian.AppendUint64(make([]byte, 0, progressSize), r.raft.AppliedIndex())
	b = binary.BigEndian.AppendUint64(b, r.raft.LastIndex())
	b = binary.BigEndian.AppendUint32(b, uint32(min(r.silence(), time.Hour).Milliseconds()))
	c.Write(b)
}
