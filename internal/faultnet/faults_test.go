package faultnet

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"drystone/protocol"
)

// pipes opens in-memory streams to one handler.
type pipes struct {
	fn func(protocol.PeerID, net.Conn)
}

func (p *pipes) HandleStream(_ string, fn func(protocol.PeerID, net.Conn)) { p.fn = fn }

func (p *pipes) OpenStream(context.Context, protocol.PeerID, string) (net.Conn, error) {
	near, far := net.Pipe()
	go p.fn(protocol.PeerID{1}, far)
	return near, nil
}

// echo answers what it reads.
func echo(_ protocol.PeerID, c net.Conn) {
	io.Copy(c, c)
	c.Close()
}

// exchange opens a stream, sends n packets, reads them back, and returns how long that took.
func exchange(t *testing.T, f *Faults, n int) time.Duration {
	t.Helper()
	s := f.Streams(&pipes{})
	s.HandleStream("echo", echo)
	start := time.Now()
	c, err := s.OpenStream(t.Context(), protocol.PeerID{1}, "echo")
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := c.Write([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]byte, n)
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	for i, b := range got {
		if b != byte(i) {
			t.Fatalf("packet %d is %d", i, b)
		}
	}
	took := time.Since(start)
	c.Close()
	if _, err := c.Write([]byte{1}); err == nil {
		t.Error("a closed stream takes more")
	}
	return took
}

// Packets take the delay each way, all at once rather than one after the other; opening takes none.
func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(1)
		f.Set(150*time.Millisecond, 0)
		if took := exchange(t, f, 40); took != 300*time.Millisecond {
			t.Errorf("took %s", took)
		}
		time.Sleep(linger)
	})
}

// RFC 6298, section 5: what is lost comes later, in order, and costs at least a timeout.
func TestLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(1)
		f.Set(time.Millisecond, 0.3)
		if took := exchange(t, f, 40); took < retransmit || took > time.Minute {
			t.Errorf("took %s", took)
		}
		time.Sleep(linger)
	})
}

// A cut stalls streams and forbids new ones; healed, everything arrives.
func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(1)
		s := f.Streams(&pipes{})
		s.HandleStream("echo", echo)
		c, err := s.OpenStream(t.Context(), protocol.PeerID{1}, "echo")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		f.Cut(protocol.PeerID{1})
		if _, err := c.Write([]byte{7}); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(time.Hour))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("across a cut: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := s.OpenStream(ctx, protocol.PeerID{1}, "echo"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a stream across a cut: %v", err)
		}
		f.Cut()
		c.SetReadDeadline(time.Time{})
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Errorf("healed: %v", err)
		}
		c.Close()
		time.Sleep(linger)
	})
}
