package durable

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"drystone/protocol"
)

const (
	crashEnv = "DRYSTONE_TEST_CRASH_DIR"
	firstEnv = "DRYSTONE_TEST_CRASH_FIRST" // content to begin with
)

// writers write side by side, so that a kill finds some of them in the middle.
const writers = 4

// TestMain makes the test binary its own victim: with crashEnv set it writes until it is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(crashEnv); dir != "" {
		fmt.Fprintln(os.Stderr, writeForEver(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// content is the k-th content, which names itself: k in every 8 bytes.
func content(k uint64) []byte {
	return bytes.Repeat(binary.BigEndian.AppendUint64(nil, k), 20*protocol.LeafSize/8+int(k%1000))
}

func writeForEver(dir string) error {
	release, err := Lock(dir)
	if err != nil {
		return err
	}
	defer release()
	s, err := OpenStore(filepath.Join(dir, "blobs"))
	if err != nil {
		return err
	}
	first, err := strconv.ParseUint(os.Getenv(firstEnv), 10, 64)
	if err != nil {
		return err
	}
	failed := make(chan error)
	for w := range uint64(writers) {
		go func() {
			for k := first + w; ; k += writers {
				if _, err := s.Put(content(k)); err != nil {
					failed <- err
				}
				if err := WriteFile(statePath(dir, w), content(k), 0o600); err != nil {
					failed <- err
				}
				fmt.Println(k) // acknowledged: both are on the disk
			}
		}()
	}
	return <-failed
}

func statePath(dir string, w uint64) string { return filepath.Join(dir, fmt.Sprintf("state%d", w)) }

// A process killed with SIGKILL at any moment leaves only whole blobs and whole state files, at least as new as the
// last acknowledged ones, and no lock.
func TestKilledWriter(t *testing.T) {
	dir := t.TempDir()
	torn := 0
	for kill := range uint64(8) {
		first := 1000 * writers * kill
		torn += checkWhole(t, dir, runVictim(t, dir, first))
	}
	if torn == 0 {
		t.Error("no kill came in the middle of a write: the test has shown nothing")
	}
}

// runVictim starts the writers at content first, kills them right after the twelfth acknowledgement, and returns what
// was acknowledged.
func runVictim(t *testing.T, dir string, first uint64) (acked []uint64) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashEnv+"="+dir, firstEnv+"="+strconv.FormatUint(first, 10))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var k uint64
		if _, err := fmt.Sscan(lines.Text(), &k); err != nil {
			t.Fatal(err)
		}
		acked = append(acked, k)
		if len(acked) == 12 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	cmd.Wait() // killed: its error says so
	if stderr.Len() > 0 || len(acked) < 12 {
		t.Fatalf("the writer failed after %d writes: %s", len(acked), stderr.String())
	}
	return acked
}

// checkWhole returns the number of temporary files left behind, each of which the kill cut short.
func checkWhole(t *testing.T, dir string, acked []uint64) (torn int) {
	t.Helper()
	s := &Store{dir: filepath.Join(dir, "blobs")}
	for _, k := range acked {
		state, err := os.ReadFile(statePath(dir, k%writers))
		if err != nil {
			t.Fatal(err)
		}
		if got := binary.BigEndian.Uint64(state); !bytes.Equal(state, content(got)) || got < k {
			t.Fatalf("state is torn or old: %d bytes of content %d, acknowledged %d", len(state), got, k)
		}
		if _, err := s.Get(protocol.MerkleRoot(content(k)), 1<<20); err != nil {
			t.Fatalf("acknowledged blob: %v", err)
		}
	}
	files, err := filepath.Glob(filepath.Join(s.dir, "??", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasPrefix(filepath.Base(f), tmpPrefix) {
			torn++
			continue
		}
		d, err := protocol.ParseDigest(filepath.Base(filepath.Dir(f)) + filepath.Base(f))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(d, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	states, err := filepath.Glob(filepath.Join(dir, tmpPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return torn + len(states)
}
