package chain

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
)

// TestVerifyRefuses: every term of a deployment is checked, so a sponsor cannot deploy other terms than it announced.
func TestVerifyRefuses(t *testing.T) {
	r := deployRun(t)
	other := must[Deployment](t)(r.client.Deploy(t.Context(), r.sponsor, r.params)) // same terms, another place
	if err := r.client.Verify(t.Context(), other, r.params); err != nil {
		t.Fatal(err)
	}
	cases := map[string]func(*Deployment, *DeployParams){
		"run":                     func(_ *Deployment, p *DeployParams) { p.RunID[5]++ },
		"run in both":             func(d *Deployment, p *DeployParams) { p.RunID[5]++; d.RunID[5]++ },
		"signer":                  func(_ *Deployment, p *DeployParams) { p.Signers = append([]common.Address{{1}}, p.Signers[1:]...) },
		"fewer signers":           func(_ *Deployment, p *DeployParams) { p.Signers = p.Signers[:3] },
		"threshold":               func(_ *Deployment, p *DeployParams) { p.Threshold = 2 },
		"budget":                  func(_ *Deployment, p *DeployParams) { p.Budget = big.NewInt(2000) },
		"epoch cap":               func(_ *Deployment, p *DeployParams) { p.EpochCap = big.NewInt(401) },
		"idle timeout":            func(_ *Deployment, p *DeployParams) { p.IdleTimeout += time.Hour },
		"token name":              func(_ *Deployment, p *DeployParams) { p.TokenName += "!" },
		"token cap":               func(_ *Deployment, p *DeployParams) { p.TokenCap = big.NewInt(1001) },
		"chain":                   func(d *Deployment, _ *DeployParams) { d.ChainID = big.NewInt(1) },
		"no chain":                func(d *Deployment, _ *DeployParams) { d.ChainID = nil },
		"sponsor":                 func(d *Deployment, _ *DeployParams) { d.Sponsor = common.Address{1} },
		"token":                   func(d *Deployment, _ *DeployParams) { d.Token = other.Token },
		"token with its creation": func(d *Deployment, _ *DeployParams) { d.Token, d.TokenTx = other.Token, other.TokenTx },
		"distributor":             func(d *Deployment, _ *DeployParams) { d.Distributor, d.Escrow = other.Distributor, other.Escrow },
		"escrow":                  func(d *Deployment, _ *DeployParams) { d.Escrow = other.Escrow },
		"swapped transactions":    func(d *Deployment, _ *DeployParams) { d.TokenTx, d.DistributorTx = d.DistributorTx, d.TokenTx },
		"later block":             func(d *Deployment, _ *DeployParams) { d.Block++ },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			d, p := r.d, r.params
			change(&d, &p)
			if err := r.client.Verify(t.Context(), d, p); !errors.Is(err, ErrDeployment) {
				t.Errorf("got %v, want ErrDeployment", err)
			}
		})
	}
}

func TestDeployParamsValidate(t *testing.T) {
	good := DeployParams{RunID: [32]byte{1}, Signers: []common.Address{{2}, {1}}, Threshold: 2, Budget: big.NewInt(5),
		EpochCap: big.NewInt(5), IdleTimeout: time.Minute, TokenName: "N", TokenSymbol: "S"}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	huge := new(big.Int).Lsh(big.NewInt(1), 256)
	for name, change := range map[string]func(*DeployParams){
		"no run":         func(p *DeployParams) { p.RunID = [32]byte{} },
		"no signers":     func(p *DeployParams) { p.Signers = nil },
		"many signers":   func(p *DeployParams) { p.Signers = make([]common.Address, 65) },
		"zero signer":    func(p *DeployParams) { p.Signers = []common.Address{{}, {1}} },
		"same signer":    func(p *DeployParams) { p.Signers = []common.Address{{1}, {1}} },
		"zero threshold": func(p *DeployParams) { p.Threshold = 0 },
		"high threshold": func(p *DeployParams) { p.Threshold = 3 },
		"no budget":      func(p *DeployParams) { p.Budget = nil },
		"zero budget":    func(p *DeployParams) { p.Budget = new(big.Int) },
		"huge budget":    func(p *DeployParams) { p.Budget = huge },
		"negative cap":   func(p *DeployParams) { p.EpochCap = big.NewInt(-1) },
		"low token cap":  func(p *DeployParams) { p.TokenCap = big.NewInt(4) },
		"no timeout":     func(p *DeployParams) { p.IdleTimeout = 0 },
		"no name":        func(p *DeployParams) { p.TokenName = "" },
		"long symbol":    func(p *DeployParams) { p.TokenSymbol = strings.Repeat("x", 32) },
	} {
		p := good
		change(&p)
		if p.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestBindingsAreFresh compares what the bindings were generated from with the contracts as they stand.
func TestBindingsAreFresh(t *testing.T) {
	sums := must[[]byte](t)(os.ReadFile("bindings/sources.sum"))
	listed := map[string]bool{}
	for line := range strings.Lines(string(sums)) {
		want, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		listed[name] = true
		got := sha256.Sum256(must[[]byte](t)(os.ReadFile(filepath.Join("contracts", name))))
		if hex.EncodeToString(got[:]) != want {
			t.Errorf("contracts/%s changed: run go generate ./ledger/chain/bindings", name)
		}
	}
	for _, path := range must[[]string](t)(filepath.Glob("contracts/*.sol")) {
		if !listed[filepath.Base(path)] {
			t.Errorf("%s is new: run go generate ./ledger/chain/bindings", path)
		}
	}
}
