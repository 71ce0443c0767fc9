package chain

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// TestMain becomes the child of the crash test when its environment says so.
func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirEnv); dir != "" {
		crashChild(dir)
		return
	}
	os.Exit(m.Run())
}

// testKey is a fixed key per name.
func testKey(name string) *ecdsa.PrivateKey {
	key, err := crypto.ToECDSA(crypto.Keccak256([]byte("drystone test key " + name)))
	if err != nil {
		panic(err)
	}
	return key
}

func addressOf(key *ecdsa.PrivateKey) common.Address { return crypto.PubkeyToAddress(key.PublicKey) }

func testConfig(dir string) Config {
	return Config{Dir: dir, ChainID: 7707, GasPayer: addressOf(testKey("gas"))}
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// openChain opens a chain in a new directory until the end of the test. The library's warnings fail nothing but show.
func openChain(t testing.TB) *Chain {
	t.Helper()
	cfg := testConfig(t.TempDir())
	var buf bytes.Buffer
	cfg.Logger = slog.New(slog.NewTextHandler(&buf, nil))
	c, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if buf.Len() > 0 {
			t.Logf("chain log:\n%s", &buf)
		}
	})
	return c
}

// run is a deployed run with everybody's keys.
type run struct {
	chain   *Chain
	client  *Client
	sponsor *ecdsa.PrivateKey
	relay   *ecdsa.PrivateKey
	signers []*ecdsa.PrivateKey
	params  DeployParams
	d       Deployment
}

func deployRun(t testing.TB, change ...func(*DeployParams)) *run {
	t.Helper()
	r := &run{chain: openChain(t), sponsor: testKey("sponsor"), relay: testKey("relay")}
	r.client = NewClient(r.chain.RPC())
	for _, key := range []*ecdsa.PrivateKey{r.sponsor, r.relay} {
		if _, err := r.client.Transfer(t.Context(), testKey("gas"), addressOf(key), big.NewInt(1e18)); err != nil {
			t.Fatal(err)
		}
	}
	r.params = DeployParams{
		RunID: [32]byte{1, 2, 3}, Threshold: 3,
		Budget: big.NewInt(1000), EpochCap: big.NewInt(400), IdleTimeout: 24 * time.Hour,
		TokenName: "Test Run", TokenSymbol: "TST",
	}
	for i := range 4 {
		key := testKey(fmt.Sprint("signer ", i))
		r.signers = append(r.signers, key)
		r.params.Signers = append(r.params.Signers, addressOf(key))
	}
	for _, f := range change {
		f(&r.params)
	}
	var err error
	if r.d, err = r.client.Deploy(t.Context(), r.sponsor, r.params); err != nil {
		t.Fatal(err)
	}
	return r
}

// signed signs a digest with the first n signers, ordered as the contract wants.
func (r *run) signed(t testing.TB, digest [32]byte, n int) [][]byte {
	t.Helper()
	var sigs [][]byte
	for _, key := range r.signers[:n] {
		sigs = append(sigs, must[[]byte](t)(Sign(digest, key)))
	}
	return must[[][]byte](t)(OrderSignatures(digest, sigs))
}

// payouts is an epoch's payout tree.
type payouts struct {
	tree    *Tree
	amounts map[common.Address]*big.Int
	leaf    func(common.Address) [32]byte
}

func (r *run) payouts(t testing.TB, amounts map[common.Address]*big.Int) payouts {
	t.Helper()
	p := payouts{amounts: amounts}
	p.leaf = func(a common.Address) [32]byte {
		return Leaf(r.d.ChainID, r.d.Distributor, r.d.RunID, r.d.Token, a, amounts[a])
	}
	var leaves [][32]byte
	for a := range amounts {
		leaves = append(leaves, p.leaf(a))
	}
	p.tree = must[*Tree](t)(NewTree(leaves))
	return p
}

func (p payouts) claim(t testing.TB, epoch uint64, account common.Address) Claim {
	t.Helper()
	proof, ok := p.tree.Proof(p.leaf(account))
	if !ok {
		t.Fatalf("no leaf for %s", account)
	}
	return Claim{Epoch: epoch, Account: account, Cumulative: p.amounts[account], Proof: proof}
}

// statement is one that a quorum could sign.
func (r *run) statement(epoch uint64, root [32]byte, total int64) SettlementStatement {
	return SettlementStatement{RunID: r.d.RunID, Epoch: epoch, LogRoot: [32]byte{9}, PayoutRoot: root,
		CumulativeTotal: big.NewInt(total)}
}

func (r *run) settle(t testing.TB, s SettlementStatement) error {
	t.Helper()
	_, err := r.client.Settle(t.Context(), r.relay, r.d, s, r.signed(t, r.digest(s), 3))
	return err
}

func (r *run) digest(s SettlementStatement) [32]byte {
	return SettlementDigest(r.d.ChainID, r.d.Distributor, s)
}

// wantRevert checks that a contract refused with the named error.
func wantRevert(t testing.TB, err error, names ...string) {
	t.Helper()
	var revert *RevertError
	if !errors.As(err, &revert) {
		t.Fatalf("got %v, want the contract's %v", err, names)
	}
	if !slices.Contains(names, revert.Name) {
		t.Fatalf("contract refused with %v, want %v", err, names)
	}
}

func wantBalance(t testing.TB, c *Client, token, account common.Address, want int64) {
	t.Helper()
	if got := must[*big.Int](t)(c.BalanceOf(t.Context(), token, account)); got.Cmp(big.NewInt(want)) != 0 {
		t.Fatalf("balance of %s is %v, want %d", account, got, want)
	}
}
