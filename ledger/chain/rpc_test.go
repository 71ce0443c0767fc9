package chain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
)

// TestThroughBytes does everything a far peer does, with nothing but a function from bytes to bytes between it and the
// chain.
func TestThroughBytes(t *testing.T) {
	r := deployRun(t)
	var calls int
	conn, err := DialFunc(func(ctx context.Context, req []byte) ([]byte, error) {
		calls++
		return r.chain.Handler().Serve(ctx, slices.Clone(req))
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	far := NewClient(conn)
	if err := far.Verify(t.Context(), r.d, r.params); err != nil {
		t.Fatal(err)
	}
	alice := common.Address{0xa1}
	p := r.payouts(t, map[common.Address]*big.Int{alice: big.NewInt(100)}) // one leaf: its proof is empty
	s := r.statement(1, p.tree.Root(), 100)
	if _, err := far.Settle(t.Context(), r.relay, r.d, s, r.signed(t, r.digest(s), 3)); err != nil {
		t.Fatal(err)
	}
	if _, err := far.Claim(t.Context(), r.relay, r.d, p.claim(t, 1, alice)); err != nil {
		t.Fatal(err)
	}
	wantBalance(t, far, r.d.Token, alice, 100)
	_, err = far.Claim(t.Context(), r.relay, r.d, p.claim(t, 1, alice)) // revert data survives the way
	wantRevert(t, err, "NothingToClaim")
	if calls == 0 {
		t.Fatal("nothing went through the function")
	}

	logs, err := ethclient.NewClient(conn).FilterLogs(t.Context(), ethereum.FilterQuery{
		FromBlock: new(big.Int).SetUint64(r.d.Block), Addresses: []common.Address{r.d.Distributor}})
	if err != nil {
		t.Fatal(err)
	}
	var paid int64
	for _, l := range logs {
		if e, err := distributorABI.UnpackClaimedEvent(&l); err == nil {
			paid += e.Amount.Int64()
		}
	}
	if paid != 100 {
		t.Errorf("events say that %d were paid, want 100", paid)
	}
}

// TestForward: a handler in front of another connection, as an aggregator serves an endpoint elsewhere.
func TestForward(t *testing.T) {
	c := openChain(t)
	front := NewRPCHandler(c.RPC(), nil)
	conn := must[*rpc.Client](t)(DialFunc(front.Serve))
	defer conn.Close()
	client := NewClient(conn)
	if _, err := client.Transfer(t.Context(), testKey("gas"), common.Address{1}, big.NewInt(5)); err != nil {
		t.Fatal(err)
	}
	if got := must[*big.Int](t)(client.GasBalance(t.Context(), common.Address{1})); got.Int64() != 5 {
		t.Errorf("balance %v, want 5", got)
	}
	// An upstream that cannot be reached is not named: its address may hold a key.
	secret := must[*rpc.Client](t)(DialFunc(func(context.Context, []byte) ([]byte, error) { return nil, errors.New("secret-token") }))
	defer secret.Close()
	answer := must[[]byte](t)(NewRPCHandler(secret, nil).Serve(t.Context(), []byte(`{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}`)))
	if bytes.Contains(answer, []byte("secret-token")) || !bytes.Contains(answer, []byte("cannot be reached")) {
		t.Errorf("answer of a broken upstream: %s", answer)
	}
}

// ask sends one raw request and returns the answer's error code, 0 for a result.
func ask(t testing.TB, h *RPCHandler, req string) (code int, answer string) {
	t.Helper()
	raw := must[[]byte](t)(h.Serve(t.Context(), []byte(req)))
	var resp rpcResponse
	if err := json.Unmarshal(raw, &resp); err != nil {
		t.Fatalf("answer %s: %v", raw, err)
	}
	if resp.Error != nil {
		return resp.Error.Code, string(raw)
	}
	return 0, string(raw)
}

func TestServeRefuses(t *testing.T) {
	c := openChain(t)
	h := c.Handler()
	call := func(method, params string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, method, params)
	}
	const contract = `"address":"0x0000000000000000000000000000000000000001"`
	for name, tc := range map[string]struct {
		req  string
		want int
	}{
		"allowed":              {call("eth_blockNumber", `[]`), 0},
		"allowed, no params":   {`{"jsonrpc":"2.0","id":"x","method":"eth_chainId"}`, 0},
		"empty":                {``, codeParse},
		"not JSON":             {`hello`, codeParse},
		"wrong type":           {`{"jsonrpc":2}`, codeParse},
		"old version":          {`{"id":1,"method":"eth_chainId"}`, codeInvalidRequest},
		"notification":         {`{"jsonrpc":"2.0","method":"eth_chainId"}`, codeInvalidRequest},
		"null id":              {`{"jsonrpc":"2.0","id":null,"method":"eth_chainId"}`, codeInvalidRequest},
		"object id":            {`{"jsonrpc":"2.0","id":{},"method":"eth_chainId"}`, codeInvalidRequest},
		"long id":              {`{"jsonrpc":"2.0","id":"` + strings.Repeat("x", 100) + `","method":"eth_chainId"}`, codeInvalidRequest},
		"debug":                {call("debug_setHead", `["0x0"]`), codeNotFound},
		"admin":                {call("admin_addPeer", `["x"]`), codeNotFound},
		"miner":                {call("miner_setExtra", `["x"]`), codeNotFound},
		"txpool":               {call("txpool_content", `[]`), codeNotFound},
		"signing by the host":  {call("eth_sendTransaction", `[{}]`), codeNotFound},
		"filters with state":   {call("eth_newFilter", `[{}]`), codeNotFound},
		"subscription":         {call("eth_subscribe", `["newHeads"]`), codeNotFound},
		"state overrides":      {call("eth_call", `[{},"latest",{}]`), codeInvalidParams},
		"params as an object":  {call("eth_call", `{}`), codeInvalidParams},
		"logs of one contract": {call("eth_getLogs", `[{`+contract+`,"fromBlock":"0x0","toBlock":"latest"}]`), 0},
		"logs of all":          {call("eth_getLogs", `[{"fromBlock":"0x0"}]`), codeInvalidParams},
		"logs of a nothing":    {call("eth_getLogs", `[{"address":[]}]`), codeInvalidParams},
		"long fee history":     {call("eth_feeHistory", `["0x400","latest",[]]`), codeInvalidParams},
		"fee history":          {call("eth_feeHistory", `["0x4","latest",[50]]`), 0},
		"empty batch":          {`[]`, codeParse},
		"bad batch":            {`[1`, codeParse},
		"large batch":          {`[` + strings.TrimSuffix(strings.Repeat(call("eth_chainId", `[]`)+",", MaxBatch+1), ",") + `]`, codeLimit},
		"large request":        {call("eth_call", `["`+strings.Repeat("a", MaxRequestBytes)+`"]`), codeLimit},
		"bad transaction":      {call("eth_sendRawTransaction", `["0x01"]`), -32000},
	} {
		t.Run(name, func(t *testing.T) {
			if code, answer := ask(t, h, tc.req); code != tc.want {
				t.Errorf("code %d, want %d: %s", code, tc.want, answer)
			}
		})
	}
	if h := must[uint64](t)(NewClient(c.RPC()).Height(t.Context())); h != 0 {
		t.Errorf("height %d after requests that change nothing", h)
	}
}

// TestLogRange: a filter cannot make the host search more than MaxLogBlocks blocks.
func TestLogRange(t *testing.T) {
	head := uint64(5 * MaxLogBlocks)
	var searched int
	upstream := must[*rpc.Client](t)(DialFunc(func(_ context.Context, req []byte) ([]byte, error) {
		var r rpcRequest
		if err := json.Unmarshal(req, &r); err != nil {
			return nil, err
		}
		result := fmt.Sprintf("%q", fmt.Sprintf("0x%x", head))
		if r.Method == "eth_getLogs" {
			searched++
			result = "[]"
		}
		return encode(rpcResponse{Version: "2.0", ID: r.ID, Result: json.RawMessage(result)})
	}))
	defer upstream.Close()
	h := NewRPCHandler(upstream, nil)
	const contract = `"address":"0x0000000000000000000000000000000000000001"`
	for _, tc := range []struct {
		bounds string
		ok     bool
	}{
		{`"fromBlock":"0x0"`, false},
		{`"fromBlock":"earliest","toBlock":"latest"`, false},
		{`"fromBlock":"0x0","toBlock":"finalized"`, false},
		{`"fromBlock":"0x0","toBlock":"0xffffffffffff"`, false},
		{`"fromBlock":"0x0","toBlock":"0x2710"`, false}, // one too many
		{`"fromBlock":"0x0","toBlock":"0x270f"`, true},
		{`"fromBlock":"latest"`, true},
		{`"blockHash":"0x` + strings.Repeat("11", 32) + `"`, true},
	} {
		before := searched
		code, answer := ask(t, h, `{"jsonrpc":"2.0","id":1,"method":"eth_getLogs","params":[{`+contract+`,`+tc.bounds+`}]}`)
		if (code == 0) != tc.ok || (searched > before) != tc.ok {
			t.Errorf("%s: %s", tc.bounds, answer)
		}
	}
}

// TestHTTP: the loopback listener serves the same, and no browser's pages.
func TestHTTP(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.HTTPAddr = "127.0.0.1:0"
	c := must[*Chain](t)(Open(t.Context(), cfg))
	defer c.Close()
	url := "http://" + c.HTTPAddr()
	conn := must[*rpc.Client](t)(rpc.DialContext(t.Context(), url))
	defer conn.Close()
	if _, err := NewClient(conn).Transfer(t.Context(), testKey("gas"), common.Address{1}, big.NewInt(5)); err != nil {
		t.Fatal(err)
	}
	if err := conn.CallContext(t.Context(), nil, "admin_nodeInfo"); err == nil {
		t.Error("admin_nodeInfo is served")
	}
	const body = `{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}`
	for name, tc := range map[string]struct {
		method, host, contentType, body string
		want                            int
	}{
		"good":             {"POST", "localhost", "application/json; charset=utf-8", body, http.StatusOK},
		"foreign host":     {"POST", "evil.example:80", "application/json", body, http.StatusForbidden},
		"a page's content": {"POST", "127.0.0.1", "text/plain", body, http.StatusUnsupportedMediaType},
		"get":              {"GET", "127.0.0.1", "application/json", "", http.StatusMethodNotAllowed},
		"too large":        {"POST", "127.0.0.1", "application/json", strings.Repeat(" ", MaxRequestBytes+1), http.StatusRequestEntityTooLarge},
	} {
		req := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), tc.method, url, strings.NewReader(tc.body)))
		req.Host = tc.host
		req.Header.Set("Content-Type", tc.contentType)
		resp := must[*http.Response](t)(http.DefaultClient.Do(req))
		resp.Body.Close()
		if resp.StatusCode != tc.want {
			t.Errorf("%s: %s, want %d", name, resp.Status, tc.want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestDialBounds: neither side can be made to hold more than the bounds.
func TestDialBounds(t *testing.T) {
	var asked bool
	conn := must[*rpc.Client](t)(DialFunc(func(context.Context, []byte) ([]byte, error) {
		asked = true
		return make([]byte, MaxResponseBytes+1), nil
	}))
	defer conn.Close()
	if err := conn.CallContext(t.Context(), nil, "eth_call", strings.Repeat("x", MaxRequestBytes)); !errors.Is(err, errTooLarge) || asked {
		t.Errorf("large request: %v, sent %v", err, asked)
	}
	if err := conn.CallContext(t.Context(), nil, "eth_chainId"); !errors.Is(err, errTooLarge) {
		t.Errorf("large answer: %v", err)
	}
}

// FuzzServe: whatever arrives, there is one bounded JSON-RPC answer and nothing changes.
func FuzzServe(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}`,
		`[{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]},{"jsonrpc":"2.0","id":2,"method":"x"}]`,
		`{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{"to":"0x0000000000000000000000000000000000000004","input":"0x00"},"latest"]}`,
		`{"jsonrpc":"2.0","id":1,"method":"eth_getLogs","params":[{"address":"0x0000000000000000000000000000000000000004"}]}`,
		`{"jsonrpc":"2.0","id":1,"method":"eth_feeHistory","params":["0x4","latest",[50]]}`,
		`{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":["0x02f8"]}`,
		`[[[[`, `{"params":[null]}`, ` `,
	} {
		f.Add([]byte(seed))
	}
	c := openChain(f)
	f.Fuzz(func(t *testing.T, req []byte) {
		answer, err := c.Handler().Serve(t.Context(), req)
		if err != nil || !json.Valid(answer) || len(answer) > MaxResponseBytes {
			t.Fatalf("request %q: answer %.200q, error %v", req, answer, err)
		}
	})
}
