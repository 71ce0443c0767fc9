package chain

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"github.com/ethereum/go-ethereum/common"
)

const crashDirEnv = "DRYSTONE_CHAIN_CRASH_DIR"

// crashTarget gets one wei per acknowledged transaction.
var crashTarget = common.Address{0xc0, 0xff, 0xee}

// crashChild sends transactions without end and prints "HEIGHT" for each that was acknowledged, until it is killed.
func crashChild(dir string) {
	fail := func(err error) {
		fmt.Println("child:", err)
		os.Exit(1)
	}
	c, err := Open(context.Background(), testConfig(dir))
	if err != nil {
		fail(err)
	}
	client := NewClient(c.RPC())
	for {
		r, err := client.Transfer(context.Background(), testKey("gas"), crashTarget, big.NewInt(1))
		if err != nil {
			fail(err)
		}
		fmt.Println(r.BlockNumber)
	}
}

// TestKill kills a process in the middle of its work, again and again. Whatever it had acknowledged must be there.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	acked := uint64(0) // over all rounds
	for round := range rounds {
		n, height := runAndKill(t, dir, 1+rand.IntN(25))
		acked += uint64(n)
		c, err := Open(t.Context(), testConfig(dir))
		if err != nil {
			t.Fatalf("round %d: reopen after kill: %v", round, err)
		}
		client := NewClient(c.RPC())
		got := must[*big.Int](t)(client.GasBalance(t.Context(), crashTarget)).Uint64()
		if got < acked {
			t.Fatalf("round %d: %d transactions acknowledged, %d there after the kill", round, acked, got)
		}
		if h := must[uint64](t)(client.Height(t.Context())); h < height {
			t.Fatalf("round %d: height %d acknowledged, %d there after the kill", round, height, h)
		}
		acked = got // those that made it to disk and were not told
		if _, err := client.Transfer(t.Context(), testKey("gas"), crashTarget, big.NewInt(1)); err != nil {
			t.Fatalf("round %d: transfer after kill: %v", round, err)
		}
		acked++
		if err := c.Close(); err != nil {
			t.Fatalf("round %d: close: %v", round, err)
		}
	}
}

// runAndKill starts a child, kills it after some acknowledgements and returns all that it made and the last height.
func runAndKill(t *testing.T, dir string, after int) (acked int, height uint64) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDirEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out := must[io.ReadCloser](t)(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, err := fmt.Sscan(lines.Text(), &height); err != nil {
			t.Errorf("%s", lines.Text())
			break
		}
		if acked++; acked == after {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
	if acked < after {
		t.Fatalf("the child acknowledged %d transactions, want %d", acked, after)
	}
	return acked, height
}
