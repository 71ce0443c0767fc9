package gossip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"drystone/protocol"
)

// Code says why a call failed at the other side.
type Code byte

// Codes of a response. The values are part of the wire format.
const (
	CodeOK       Code = iota
	CodeInternal      // the handler failed; the reason stays in its log
	CodeBusy          // too many calls of this peer, or overall, are under way: try again later or elsewhere
	CodeBad           // the request is malformed or too large
	CodeNotFound      // what was asked for is not here
	CodeRefused       // the handler does not serve this peer, or not now
)

// String returns the code's meaning.
func (c Code) String() string {
	if c <= CodeRefused {
		return [...]string{"ok", "internal error", "busy", "bad request", "not found", "refused"}[c]
	}
	return fmt.Sprintf("code %d", byte(c))
}

// ErrRemote is the kind of every error that the other side of a call answered with; errors.As finds a *RemoteError.
var ErrRemote = errors.New("the peer answered with an error")

// RemoteError is the answer of a peer that could not serve a call.
type RemoteError struct {
	Peer protocol.PeerID
	Call string
	Code Code
	Line string // the remote's words, one printable line
}

// Error returns one line.
func (e *RemoteError) Error() string {
	return fmt.Sprintf("peer %s answered %s: %s: %s", e.Peer.Short(), e.Call, e.Code, e.Line)
}

// Is makes every RemoteError an ErrRemote.
func (e *RemoteError) Is(target error) bool { return target == ErrRemote }

// CallError is an error that a handler wants the caller to read. Other errors reach the caller as CodeInternal without
// their text, which may name files.
type CallError struct {
	Code Code
	Line string
}

// Error returns the line.
func (e *CallError) Error() string { return e.Code.String() + ": " + e.Line }

// Errorf makes a CallError.
func Errorf(code Code, format string, args ...any) error {
	return &CallError{Code: code, Line: fmt.Sprintf(format, args...)}
}

// HandlerFunc serves one request and returns the response, at most 64 MiB. It is called from many goroutines; ctx ends
// with Config.CallTimeout or Host.Close, and the function must return soon after. A panic is logged and answered with CodeInternal.
type HandlerFunc func(ctx context.Context, from protocol.PeerID, req []byte) ([]byte, error)

// Handle serves calls of this name with requests of at most maxReq bytes, up to 16 MiB. A second Handle replaces the
// first. From one peer 16 calls and streams may be under way, 512 overall: what exceeds that is answered CodeBusy.
func (h *Host) Handle(name string, maxReq int, fn HandlerFunc) {
	maxReq = min(maxReq, maxRequest)
	h.lib.SetStreamHandler(h.protocolID("call", name), func(s network.Stream) {
		if !h.begin() {
			s.Reset()
			return
		}
		defer h.tasks.Done()
		if err := h.serveCall(s, name, maxReq, fn); err != nil {
			s.Reset()
			h.cfg.Logger.Debug("call not served", "call", name, "peer", s.Conn().RemotePeer(), "err", err)
		}
	})
}

// serveCall answers one request and closes the stream. An error means that no complete answer was sent.
func (h *Host) serveCall(s network.Stream, name string, maxReq int, fn HandlerFunc) error {
	if err := s.SetDeadline(time.Now().Add(h.cfg.CallTimeout)); err != nil {
		return err
	}
	from, err := PeerIDToProtocol(s.Conn().RemotePeer())
	if err != nil {
		return err
	}
	resp, err := h.answer(s, from, name, maxReq, fn)
	if err := h.respond(s, from, name, resp, err); err != nil {
		return err
	}
	return s.Close()
}

// respond writes the response, or the error in its place.
func (h *Host) respond(w io.Writer, from protocol.PeerID, name string, resp []byte, err error) error {
	code, body := CodeOK, resp
	if err != nil {
		var ce *CallError
		if !errors.As(err, &ce) {
			h.cfg.Logger.Warn("call handler failed", "call", name, "peer", from, "err", err)
			ce = &CallError{CodeInternal, "the handler failed"}
		}
		code, body = ce.Code, []byte(cleanLine(ce.Line))
	}
	if _, err := w.Write(appendFrame([]byte{byte(code)}, body)); err != nil {
		return fmt.Errorf("write response: %w", err)
	}
	return nil
}

// answer reads the request and runs the handler within the peer's limits.
func (h *Host) answer(s io.Reader, from protocol.PeerID, name string, maxReq int, fn HandlerFunc) (resp []byte, err error) {
	if !h.inbound.try(from) {
		return nil, Errorf(CodeBusy, "too many calls are under way")
	}
	defer h.inbound.done(from)
	req, err := readFrame(s, maxReq)
	if err != nil {
		return nil, Errorf(CodeBad, "%v", err)
	}
	ctx, cancel := context.WithTimeout(h.ctx, h.cfg.CallTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			resp, err = nil, fmt.Errorf("panic in the handler of %s: %v", name, p)
		}
	}()
	resp, err = fn(ctx, from, req)
	if err == nil && len(resp) > maxResponse {
		return nil, fmt.Errorf("response of %d bytes, at most %d", len(resp), maxResponse)
	}
	return resp, err
}

// Call sends one request to a peer, dialling it if an address is known, and returns its response of at most maxResp
// bytes. It gives up when ctx ends or after Config.CallTimeout. Eight calls to one peer are under way at once; others wait.
// Errors: ErrRemote if the peer answered with one, ErrTooLarge, ErrClosed, ctx's.
func (h *Host) Call(ctx context.Context, to protocol.PeerID, name string, req []byte, maxResp int) ([]byte, error) {
	began := time.Now()
	resp, err := h.call(ctx, to, name, req, maxResp, func(r io.Reader) io.Reader { return r })
	h.calls.note(name, time.Since(began), err)
	if err != nil {
		return nil, fmt.Errorf("gossip: call %s of %s: %w", name, to.Short(), err)
	}
	return resp, nil
}

// call is Call with a reader of the caller's around the response.
func (h *Host) call(ctx context.Context, to protocol.PeerID, name string, req []byte, maxResp int, reader func(io.Reader) io.Reader) ([]byte, error) {
	if len(req) > maxRequest {
		return nil, fmt.Errorf("request of %d bytes, at most %d: %w", len(req), maxRequest, ErrTooLarge)
	}
	ctx, stop := h.join(ctx)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, h.cfg.CallTimeout)
	defer cancel()
	if err := h.outward.wait(ctx, to); err != nil {
		return nil, fmt.Errorf("wait for other calls: %w", err)
	}
	defer h.outward.done(to)
	s, err := h.openStream(ctx, to, h.protocolID("call", name))
	if err != nil {
		return nil, err
	}
	// A stream knows deadlines only: cancelling ctx resets it.
	unhook := context.AfterFunc(ctx, func() { s.Reset() })
	defer unhook()
	resp, err := exchange(s, reader(s), to, name, req, min(maxResp, maxResponse))
	if err != nil {
		s.Reset()
		if ctx.Err() != nil && !errors.Is(err, ErrRemote) {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	s.Close() // the response is complete: that the other side has gone already is no error
	return resp, nil
}

// exchange writes the request and reads the response.
func exchange(s network.Stream, r io.Reader, to protocol.PeerID, name string, req []byte, maxResp int) ([]byte, error) {
	// The answer can come before the request is read to its end, and then writing fails: look for it all the same.
	_, writeErr := s.Write(appendFrame(nil, req))
	if writeErr == nil {
		writeErr = s.CloseWrite()
	}
	resp, err := readResponse(r, to, name, maxResp)
	if writeErr != nil && err != nil && !errors.Is(err, ErrRemote) && !errors.Is(err, ErrTooLarge) {
		return nil, fmt.Errorf("write request: %w", writeErr)
	}
	return resp, err
}

// readResponse reads a code and a frame.
func readResponse(r io.Reader, from protocol.PeerID, name string, maxResp int) ([]byte, error) {
	var code [1]byte
	if _, err := io.ReadFull(r, code[:]); err != nil {
		return nil, fmt.Errorf("read response: %w", err)
	}
	if code[0] != byte(CodeOK) {
		line, err := readFrame(r, maxErrLine)
		if err != nil {
			return nil, fmt.Errorf("read error response: %w", err)
		}
		return nil, &RemoteError{Peer: from, Call: name, Code: Code(code[0]), Line: cleanLine(string(line))}
	}
	return readFrame(r, maxResp)
}

// join returns a context that also ends, with ErrClosed as its cause, when the host closes.
func (h *Host) join(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	unhook := context.AfterFunc(h.ctx, func() { cancel(ErrClosed) })
	return ctx, func() { unhook(); cancel(nil) }
}
