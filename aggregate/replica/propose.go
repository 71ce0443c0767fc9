package replica

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"drystone/aggregate"
	"drystone/protocol"
)

// A proposal is one exchange on a stream of its own, drawn in the package comment.
const (
	codeApplied   = 0
	codeTryAgain  = 254
	codeFailed    = 255
	maxAnswerText = 4 << 10
)

// maxInFlight bounds the proposals that a member has under way.
const maxInFlight = 64

// errTryAgain means that nobody could take the proposal now.
var errTryAgain = errors.New("no leader")

// Propose brings a record into the log, through the leader wherever it is, trying again during elections and lost
// connections. It returns nil once the record is applied here or at the leader, or was applied before; an error wrapping
// aggregate.ErrRefused if the machine refuses it; otherwise ErrClosed or ctx's error. After an error other than a
// refusal the record may still be applied later. Proposing the same record again is harmless.
func (r *Replica) Propose(ctx context.Context, record []byte) error {
	if len(record) > aggregate.MaxRecord {
		return fmt.Errorf("propose: record of %d bytes, limit %d: %w", len(record), aggregate.MaxRecord, protocol.ErrTooLarge)
	}
	wait := 10 * time.Millisecond
	for {
		elected := r.leadership.wait()
		err := r.attempt(ctx, record, elected)
		switch {
		case errors.Is(err, aggregate.ErrDuplicate):
			return nil
		case err == nil || errors.Is(err, aggregate.ErrRefused) || errors.Is(err, errBroken):
			return err
		}
		r.log.Debug("proposal not taken, trying again", "err", err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-elected:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("propose: %w (last attempt: %w)", ctx.Err(), err)
		case <-r.ctx.Done():
			timer.Stop()
			return context.Cause(r.ctx)
		}
		wait = min(2*wait, 500*time.Millisecond)
	}
}

// attempt hands the record to the leader once. It gives a remote leader up when another is elected, which closes elected.
func (r *Replica) attempt(ctx context.Context, record []byte, elected <-chan struct{}) error {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	}
	leader, ok := r.Leader()
	switch {
	case !ok:
		<-r.slots
		return errTryAgain
	case leader == r.cfg.Self:
		return r.applyLocal(ctx, record)
	}
	defer func() { <-r.slots }()
	ctx, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	go func() {
		select {
		case <-elected:
			cancel()
		case <-r.ctx.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	return r.forward(ctx, leader, record)
}

// applyLocal applies the record as the leader. It takes over the caller's slot, and frees it when Raft has decided.
func (r *Replica) applyLocal(ctx context.Context, record []byte) error {
	record = slices.Clone(record) // Raft keeps it
	result := make(chan error, 1)
	started := r.goTask(func() {
		defer func() { <-r.slots }()
		result <- r.raftApply(record)
	})
	if !started {
		<-r.slots
		return ErrClosed
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *Replica) raftApply(record []byte) error {
	f := r.raft.Apply(record, ioTimeout)
	if err := f.Error(); err != nil {
		return fmt.Errorf("%w: %w", errTryAgain, err)
	}
	if err, ok := f.Response().(error); ok {
		return err
	}
	return nil
}

// forward sends the record to the leader and reads its answer, until ctx ends.
func (r *Replica) forward(ctx context.Context, leader protocol.PeerID, record []byte) error {
	conn, err := r.cfg.Streams.OpenStream(ctx, leader, streamPropose)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(record)), uint32(len(record)))
	if _, err := conn.Write(append(frame, record...)); err != nil {
		return fmt.Errorf("forward proposal: %w", err)
	}
	return readAnswer(conn)
}

func readAnswer(conn io.Reader) error {
	var head [3]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return fmt.Errorf("answer to proposal: %w", err)
	}
	n := int(binary.BigEndian.Uint16(head[1:]))
	if n > maxAnswerText {
		return fmt.Errorf("answer to proposal: text of %d bytes, limit %d", n, maxAnswerText)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(conn, text); err != nil {
		return fmt.Errorf("answer to proposal: %w", err)
	}
	switch head[0] {
	case codeApplied:
		return nil
	case codeTryAgain:
		return errTryAgain
	case codeFailed:
		return fmt.Errorf("leader: %s", text)
	}
	return aggregate.NewRefusal(head[0], string(text))
}

// serveProposal answers a proposal that another aggregator forwarded; observers only read.
func (r *Replica) serveProposal(from protocol.PeerID, conn net.Conn) {
	if !r.aggregates(from) || !r.goTask(func() { r.answer(conn) }) {
		conn.Close()
	}
}

func (r *Replica) answer(conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(r.ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := conn.SetDeadline(time.Now().Add(ioTimeout)); err != nil {
		return
	}
	record, err := readProposal(conn)
	if err != nil {
		r.log.Debug("unreadable proposal", "err", err)
		return
	}
	switch e, bad := aggregate.DecodeEnvelope(record); {
	case bad != nil:
		err = bad
	case e.Type == aggregate.RecordTick: // the clock is the leader's; a false time could not be taken back
		err = errors.New("only the leader logs the time")
	case !r.leads():
		err = errTryAgain
	default:
		err = r.raftApply(record)
	}
	if _, err := conn.Write(encodeAnswer(err)); err != nil {
		r.log.Debug("answer to proposal not sent", "err", err)
	}
}

func readProposal(conn io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > aggregate.MaxRecord {
		return nil, fmt.Errorf("record of %d bytes, limit %d: %w", n, aggregate.MaxRecord, protocol.ErrTooLarge)
	}
	record := make([]byte, n)
	_, err := io.ReadFull(conn, record)
	return record, err
}

func encodeAnswer(err error) []byte {
	var refusal *aggregate.Refusal
	code, text := uint8(codeApplied), ""
	switch {
	case err == nil:
	case errors.As(err, &refusal):
		code, text = refusal.Code(), refusal.Error()
	case errors.Is(err, errTryAgain):
		code = codeTryAgain
	default:
		code, text = codeFailed, err.Error()
	}
	text = text[:min(len(text), maxAnswerText)]
	b := binary.BigEndian.AppendUint16([]byte{code}, uint16(len(text)))
	return append(b, text...)
}
