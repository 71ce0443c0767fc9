package gossip

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"drystone/protocol"
)

func pair(t *testing.T) (a, b *Host) {
	a, b = newHost(t, 0, nil), newHost(t, 1, nil)
	connect(t, a, b)
	return a, b
}

func TestCall(t *testing.T) {
	a, b := pair(t)
	b.Handle("echo", 1000, func(_ context.Context, from protocol.PeerID, req []byte) ([]byte, error) {
		if from != a.ID() {
			return nil, fmt.Errorf("called by %s", from)
		}
		switch string(req) {
		case "refuse":
			return nil, Errorf(CodeRefused, "not\ntoday\x1b[31m")
		case "fail":
			return nil, errors.New("secret file name")
		case "panic":
			panic("a handler's bug")
		}
		return req, nil
	})
	for _, tc := range []struct {
		name    string
		req     string
		maxResp int
		code    Code // of a remote error
		line    string
		is      error
	}{
		{name: "empty"},
		{name: "whole", req: strings.Repeat("x", 1000), maxResp: 1000},
		{name: "request too large", req: strings.Repeat("x", 1001), maxResp: 2000, code: CodeBad, line: "1001 bytes, at most 1000"},
		{name: "response too large", req: "12345", maxResp: 4, is: ErrTooLarge},
		{name: "refused", req: "refuse", maxResp: 10, code: CodeRefused, line: "not today [31m"},
		{name: "failed", req: "fail", maxResp: 10, code: CodeInternal, line: "the handler failed"},
		{name: "panicked", req: "panic", maxResp: 10, code: CodeInternal, line: "the handler failed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp, err := a.Call(testContext(t), b.ID(), "echo", []byte(tc.req), tc.maxResp)
			var remote *RemoteError
			switch {
			case tc.code != CodeOK:
				if !errors.As(err, &remote) || !errors.Is(err, ErrRemote) || remote.Code != tc.code || !strings.Contains(remote.Line, tc.line) || remote.Peer != b.ID() {
					t.Fatalf("%v, want code %s and %q", err, tc.code, tc.line)
				}
			case tc.is != nil:
				if !errors.Is(err, tc.is) || errors.Is(err, ErrRemote) {
					t.Fatalf("%v, want %v", err, tc.is)
				}
			case err != nil || string(resp) != tc.req:
				t.Fatalf("%q, %v", resp, err)
			}
		})
	}
	if _, err := a.Call(testContext(t), b.ID(), "unknown", nil, 10); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("unknown call: %v", err)
	}
	if _, err := a.Call(testContext(t), a.ID(), "echo", nil, 10); err == nil {
		t.Error("called itself")
	}
	if _, err := a.Call(testContext(t), protocol.DeriveKey(9, "stranger").ID(), "echo", nil, 10); err == nil {
		t.Error("called a stranger without an address")
	}
}

// A handler that does not answer is given up with the caller's context, on both sides.
func TestCallCancelled(t *testing.T) {
	a, b := pair(t)
	entered, left := make(chan struct{}), make(chan error, 1)
	b.Handle("hang", 0, func(ctx context.Context, _ protocol.PeerID, _ []byte) ([]byte, error) {
		close(entered)
		<-ctx.Done()
		left <- ctx.Err()
		return nil, ctx.Err()
	})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-entered; cancel() }()
	if _, err := a.Call(ctx, b.ID(), "hang", nil, 10); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil { // ends the handler and waits for it
		t.Fatal(err)
	}
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestCallTimesOut(t *testing.T) {
	short := func(c *Config) { c.CallTimeout = 100 * time.Millisecond }
	a, b := newHost(t, 0, short), newHost(t, 1, nil)
	connect(t, a, b)
	b.Handle("hang", 0, func(ctx context.Context, _ protocol.PeerID, _ []byte) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	if _, err := a.Call(context.Background(), b.ID(), "hang", nil, 10); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}

// handleSlow serves a call that does not answer before release is closed.
func handleSlow(h *Host) (entered, release chan struct{}) {
	entered, release = make(chan struct{}, 100), make(chan struct{})
	h.Handle("slow", 0, func(ctx context.Context, _ protocol.PeerID, _ []byte) ([]byte, error) {
		entered <- struct{}{}
		select {
		case <-release:
			return []byte("done"), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	return entered, release
}

// callMany makes n calls side by side and returns their results as they come.
func callMany(t *testing.T, from, to *Host, n int) chan error {
	results := make(chan error, n)
	ctx := testContext(t)
	for range n {
		go func() {
			_, err := from.Call(ctx, to.ID(), "slow", nil, 10)
			results <- err
		}()
	}
	return results
}

// A caller keeps to eight calls per peer, and so never meets the other side's limit.
func TestCallsWait(t *testing.T) {
	a, b := pair(t)
	entered, release := handleSlow(b)
	const calls = 40
	results := callMany(t, a, b, calls)
	for range maxOutwardPerPeer {
		<-entered
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := a.Call(ctx, b.ID(), "slow", nil, 10); !errors.Is(err, context.DeadlineExceeded) || len(entered) > 0 {
		t.Fatalf("a ninth call: %v, %d more entered", err, len(entered))
	}
	close(release)
	for range calls {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
}

// A hostile caller that keeps to no limit of its own is answered "busy" beyond sixteen calls.
func TestCallLimit(t *testing.T) {
	a, b := pair(t)
	a.outward = newInflight(1000, 1000)
	entered, release := handleSlow(b)
	const calls = 40
	results := callMany(t, a, b, calls)
	for range maxInboundPerPeer {
		<-entered
	}
	for range calls - maxInboundPerPeer {
		var remote *RemoteError
		if err := <-results; !errors.As(err, &remote) || remote.Code != CodeBusy {
			t.Fatalf("one call too many: %v", err)
		}
	}
	close(release)
	for range maxInboundPerPeer {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	if n := len(entered); n != 0 {
		t.Fatalf("%d more handlers ran", n)
	}
}

func TestStream(t *testing.T) {
	a, b := pair(t)
	b.HandleStream("raft", func(from protocol.PeerID, conn net.Conn) {
		defer conn.Close()
		if conn.RemoteAddr().String() != from.String() || conn.RemoteAddr().Network() != "libp2p" {
			t.Errorf("remote address %s, peer %s", conn.RemoteAddr(), from)
		}
		io.Copy(conn, conn)
	})
	conn, err := a.OpenStream(testContext(t), b.ID(), "raft")
	if err != nil {
		t.Fatal(err)
	}
	if conn.LocalAddr().String() != a.ID().String() {
		t.Errorf("local address %s", conn.LocalAddr())
	}
	conn.SetDeadline(time.Now().Add(testTimeout))
	for _, size := range []int{1, 100000} {
		sent, got := bytes.Repeat([]byte{5}, size), make([]byte, size)
		go conn.Write(sent)
		if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, sent) {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil { // waits for the handler
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Fatal("read from a closed host")
	}
	conn.Close()
}

// Streams that peers keep open are bounded, and a place is free again when one is closed.
func TestStreamLimit(t *testing.T) {
	a, b := pair(t)
	conns := make(chan net.Conn, 100)
	b.HandleStream("keep", func(_ protocol.PeerID, conn net.Conn) {
		conn.Write([]byte{1})
		conns <- conn
	})
	open := func() (net.Conn, error) {
		conn, err := a.OpenStream(testContext(t), b.ID(), "keep")
		if err != nil {
			return nil, err
		}
		conn.SetDeadline(time.Now().Add(testTimeout))
		_, err = conn.Read(make([]byte, 1))
		return conn, err
	}
	for range maxInboundPerPeer {
		if _, err := open(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := open(); err == nil {
		t.Fatal("opened one stream too many")
	}
	kept := <-conns
	kept.Close()
	kept.Close() // counts once
	if _, err := open(); err != nil {
		t.Fatal(err)
	}
	if _, err := open(); err == nil {
		t.Fatal("one stream was closed and two could be opened")
	}
}

// A frame announces its length; nothing is allocated for an announcement alone, and nothing else than its payload is read.
func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0}, 0)
	f.Add([]byte{0, 0, 0, 2, 'a', 'b', 'c'}, 2)
	f.Add([]byte{255, 255, 255, 255}, 1<<30)
	f.Fuzz(func(t *testing.T, data []byte, max int) {
		if max < 0 {
			return
		}
		r := bytes.NewReader(data)
		payload, err := readFrame(r, max)
		if err != nil {
			return
		}
		if len(payload) > max || !bytes.Equal(appendFrame(nil, payload), data[:len(data)-r.Len()]) {
			t.Fatalf("%d bytes, limit %d", len(payload), max)
		}
	})
}

func FuzzReadResponse(f *testing.F) {
	f.Add(appendFrame([]byte{0}, []byte("ok")))
	f.Add(appendFrame([]byte{2}, []byte("busy\r\n")))
	f.Add(binary.BigEndian.AppendUint32([]byte{1}, 1<<31))
	f.Fuzz(func(t *testing.T, data []byte) {
		resp, err := readResponse(bytes.NewReader(data), protocol.PeerID{}, "x", 100)
		var remote *RemoteError
		if len(resp) > 100 || errors.As(err, &remote) && (len(remote.Line) > maxErrLine || strings.ContainsAny(err.Error(), "\r\n\x1b")) {
			t.Fatalf("%d bytes, %q", len(resp), err)
		}
	})
}
