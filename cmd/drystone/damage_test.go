package main

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// A data directory that is damaged is refused in one line that names the file, and nothing in it is lost: what was
// damaged put back, the run is there as before.
func TestDamagedDirectory(t *testing.T) {
	n := newNetwork(t, 33, 2, 2)
	args := []string{"launch", n.file("run.toml"), "--data", n.file("data.txt"), "--dir", n.file("all"), "--key", n.file("aggregator-0.json"), "--threads", "1",
		"--local", "2", "--exit-when-done"}
	again := func() {
		t.Helper()
		if code, _, errOut := command(t, args...); code != 0 {
			t.Fatalf("exit code %d\n%s", code, errOut)
		}
	}
	again()
	again() // a finished run is taken up again, and is over
	founder := filepath.Join(n.file("all"), "data", "aggregator-0")
	for _, x := range []struct {
		pattern string
		code    int
	}{
		{filepath.Join(founder, "statements", "00000003.cbor"), 1},
		{filepath.Join(founder, "run"), 1},
		{filepath.Join(founder, "listen.json"), 1},
		{filepath.Join(founder, "deployment.json"), 1},
		{n.file("aggregator-0.json"), 2},
	} {
		before, err := os.ReadFile(x.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(x.pattern, append([]byte("garbage"), before...), 0o600); err != nil {
			t.Fatal(err)
		}
		oneError(t, x.code, []string{filepath.Base(x.pattern)}, args...)
		if err := os.WriteFile(x.pattern, before, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range glob(t, founder, "raft", "*") {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() || info.Size() == 0 {
			continue
		}
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("garbage, not a log"), 0o600); err != nil {
			t.Fatal(err)
		}
		oneError(t, 1, []string{"raft"}, args...)
		if err := os.WriteFile(file, before, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	again()
}

// A port that is taken is named.
func TestBusyPort(t *testing.T) {
	n := newNetwork(t, 34, 2, 2)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	oneError(t, 1, []string{"/ip4/127.0.0.1/tcp/" + port, "port"}, "launch", n.file("run.toml"), "--data", n.file("data.txt"), "--dir", n.file("launch"),
		"--key", n.file("aggregator-0.json"), "--listen", "/ip4/127.0.0.1/tcp/"+port)
}
