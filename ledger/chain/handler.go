package chain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ethereum/go-ethereum/rpc"
)

// Bounds on what a stranger can ask of an RPCHandler.
const (
	MaxRequestBytes  = 512 << 10 // one JSON-RPC request or batch; a transaction is at most 128 KiB, twice that in hex
	MaxResponseBytes = 4 << 20   // its answer
	MaxBatch         = 64        // requests in a batch
	MaxLogBlocks     = 10_000    // blocks that one eth_getLogs may span

	maxResultBytes = 1 << 20 // one result
	maxConcurrent  = 16      // requests in service; others wait
	requestTimeout = 30 * time.Second
)

// RPCHandler serves JSON-RPC requests from strangers: an allow-list of methods, bounds on every size, and nothing that
// can change the host. It may be used concurrently. Who serves many strangers limits the rate of each: an eth_call can
// take the time and gas that the upstream allows it.
type RPCHandler struct {
	upstream *rpc.Client
	sent     func(context.Context) error // makes accepted transactions durable; nil where the upstream mines by itself
	log      *slog.Logger
	slots    chan struct{}
}

// NewRPCHandler forwards allowed requests to an upstream, which the caller keeps open and closes. An aggregator whose
// run pays on an endpoint elsewhere serves its peers this way; the embedded chain has its own (Chain.Handler).
func NewRPCHandler(upstream *rpc.Client, logger *slog.Logger) *RPCHandler {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &RPCHandler{upstream: upstream, log: logger, slots: make(chan struct{}, maxConcurrent)}
}

type rpcRequest struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
}

type rpcResponse struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *rpcError       `json:"error,omitempty"`
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

// Error codes of JSON-RPC 2.0 and EIP-1474.
const (
	codeParse          = -32700
	codeInvalidRequest = -32600
	codeNotFound       = -32601
	codeInvalidParams  = -32602
	codeInternal       = -32603
	codeLimit          = -32005
)

// Serve answers one JSON-RPC request or batch. What is wrong with the request is told in the answer; the error is only
// for ctx ending before there is one. On the embedded chain an answer to eth_sendRawTransaction means that the
// transaction, if it was executable, is in a block and on disk; a batch shares blocks.
func (h *RPCHandler) Serve(ctx context.Context, req []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("chain: serve JSON-RPC: %w", ctx.Err())
	}
	req = bytes.TrimLeft(req, " \t\r\n")
	if len(req) > MaxRequestBytes {
		return encode(failure(nil, codeLimit, fmt.Sprintf("request of %d bytes, the limit is %d", len(req), MaxRequestBytes)))
	}
	if len(req) > 0 && req[0] == '[' {
		return h.serveBatch(ctx, req)
	}
	var r rpcRequest
	if err := json.Unmarshal(req, &r); err != nil {
		return encode(failure(nil, codeParse, "request is not JSON-RPC"))
	}
	resp, sent := h.call(ctx, r)
	if sent {
		h.settle(ctx, &resp)
	}
	return encode(resp)
}

func (h *RPCHandler) serveBatch(ctx context.Context, req []byte) ([]byte, error) {
	var batch []rpcRequest
	if err := json.Unmarshal(req, &batch); err != nil || len(batch) == 0 {
		return encode(failure(nil, codeParse, "batch is not JSON-RPC"))
	}
	if len(batch) > MaxBatch {
		return encode(failure(nil, codeLimit, fmt.Sprintf("batch of %d requests, the limit is %d", len(batch), MaxBatch)))
	}
	answers := make([]rpcResponse, len(batch))
	var sent []*rpcResponse
	size := 0
	for i, r := range batch {
		if size > MaxResponseBytes-2*maxResultBytes {
			answers[i] = failure(r.ID, codeLimit, "the batch's answers are too large")
			continue
		}
		var isSend bool
		answers[i], isSend = h.call(ctx, r)
		size += len(answers[i].Result)
		if isSend {
			sent = append(sent, &answers[i])
		}
	}
	h.settle(ctx, sent...)
	return encode(answers)
}

// settle makes transactions that the upstream accepted durable before their senders hear of it.
func (h *RPCHandler) settle(ctx context.Context, answers ...*rpcResponse) {
	if h.sent == nil || len(answers) == 0 {
		return
	}
	if err := h.sent(ctx); err != nil {
		h.log.Error("transaction accepted but not sealed", "err", err)
		for _, a := range answers {
			*a = failure(a.ID, codeInternal, "transaction accepted but not sealed into a block")
		}
	}
}

// call serves one request. sent reports a transaction that the upstream accepted.
func (h *RPCHandler) call(ctx context.Context, r rpcRequest) (resp rpcResponse, sent bool) {
	if r.Version != "2.0" || r.Method == "" || !validID(r.ID) {
		return failure(nil, codeInvalidRequest, "not a JSON-RPC 2.0 request with an id"), false
	}
	rule, ok := methods[r.Method]
	if !ok {
		return failure(r.ID, codeNotFound, "method is not served here"), false
	}
	var params []json.RawMessage
	if len(r.Params) > 0 {
		if err := json.Unmarshal(r.Params, &params); err != nil {
			return failure(r.ID, codeInvalidParams, "params must be a list"), false
		}
	}
	if len(params) > rule.maxParams {
		return failure(r.ID, codeInvalidParams, fmt.Sprintf("%d params, the limit for this method is %d", len(params), rule.maxParams)), false
	}
	if rule.check != nil {
		if err := rule.check(ctx, h.upstream, params); err != nil {
			return failure(r.ID, codeInvalidParams, err.Error()), false
		}
	}
	args := make([]any, len(params))
	for i, p := range params {
		args[i] = p
	}
	var result json.RawMessage
	if err := h.upstream.CallContext(ctx, &result, r.Method, args...); err != nil {
		return h.upstreamFailure(r, err), false
	}
	if len(result) > maxResultBytes {
		return failure(r.ID, codeLimit, fmt.Sprintf("answer of %d bytes, the limit is %d", len(result), maxResultBytes)), false
	}
	if len(result) == 0 {
		result = json.RawMessage("null")
	}
	return rpcResponse{Version: "2.0", ID: r.ID, Result: result}, r.Method == sendMethod
}

// upstreamFailure passes on what the upstream answered, with revert data. Failures to reach it are logged and not
// passed on: their text can hold an address with a key in it.
func (h *RPCHandler) upstreamFailure(r rpcRequest, err error) rpcResponse {
	var answered rpc.Error
	if !errors.As(err, &answered) {
		h.log.Warn("JSON-RPC upstream failed", "method", r.Method, "err", err)
		return failure(r.ID, codeInternal, "the chain cannot be reached")
	}
	resp := failure(r.ID, answered.ErrorCode(), answered.Error())
	var withData rpc.DataError
	if errors.As(err, &withData) {
		resp.Error.Data = withData.ErrorData()
	}
	return resp
}

func failure(id json.RawMessage, code int, message string) rpcResponse {
	if id == nil {
		id = json.RawMessage("null")
	}
	return rpcResponse{Version: "2.0", ID: id, Error: &rpcError{Code: code, Message: message}}
}

// validID accepts a number or a short string; notifications are not served.
func validID(id json.RawMessage) bool {
	return len(id) > 0 && len(id) <= 64 && (id[0] == '"' || id[0] == '-' || id[0] >= '0' && id[0] <= '9')
}

func encode(v any) ([]byte, error) {
	out, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("chain: encode JSON-RPC answer: %w", err)
	}
	if len(out) > MaxResponseBytes {
		return encode(failure(nil, codeLimit, fmt.Sprintf("answer of %d bytes, the limit is %d", len(out), MaxResponseBytes)))
	}
	return out, nil
}
