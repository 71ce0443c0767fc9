package chain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/ethereum/go-ethereum/rpc"
)

// DialFunc makes a JSON-RPC client out of one request/response call, such as a stream to a peer whose end is
// RPCHandler.Serve. It dials nothing itself. Requests over MaxRequestBytes and answers over MaxResponseBytes fail.
// Close the client when done; call must be safe for concurrent use.
func DialFunc(call func(ctx context.Context, req []byte) ([]byte, error)) (*rpc.Client, error) {
	// The address only satisfies the HTTP client; the transport below never looks at it.
	c, err := rpc.DialOptions(context.Background(), "http://peer.invalid",
		rpc.WithHTTPClient(&http.Client{Transport: callTransport(call)}))
	if err != nil {
		return nil, fmt.Errorf("chain: dial through a call: %w", err)
	}
	return c, nil
}

// callTransport carries the body of an HTTP request as one call.
type callTransport func(context.Context, []byte) ([]byte, error)

var errTooLarge = errors.New("message is too large")

func (call callTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	defer r.Body.Close()
	req, err := io.ReadAll(io.LimitReader(r.Body, MaxRequestBytes+1))
	if err != nil {
		return nil, err
	}
	if len(req) > MaxRequestBytes {
		return nil, fmt.Errorf("request: %w: over %d bytes", errTooLarge, MaxRequestBytes)
	}
	resp, err := call(r.Context(), req)
	if err != nil {
		return nil, err
	}
	if len(resp) > MaxResponseBytes {
		return nil, fmt.Errorf("answer: %w: %d bytes, the limit is %d", errTooLarge, len(resp), MaxResponseBytes)
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Content-Type": {"application/json"}},
		Body:          io.NopCloser(bytes.NewReader(resp)),
		ContentLength: int64(len(resp)),
		Request:       r,
	}, nil
}
