package trial

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
)

// tear writes half a frame behind the last record of a member's newest segment, as a crash during a write does. What is
// written varies with n: lengths that reach beyond the file, and plausible ones without their data.
func tear(dir string, n int) error {
	segments, err := filepath.Glob(filepath.Join(dir, "raft", "wal", "*.wal"))
	if err != nil || len(segments) == 0 {
		return errors.Join(err, errors.New("no segment"))
	}
	path := slices.Max(segments)
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	end := (len(bytes.TrimRight(data, "\x00")) + 7) &^ 7 // frames begin at multiples of 8
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	// A frame: type 1 is an entry, two flag bytes and one reserved, length in 4 bytes little-endian, then the data.
	half := append([]byte{1, 0, 0, 0, byte(200 + n), byte(n % 3), 0, 0}, bytes.Repeat([]byte{0xab}, 50+n)...)
	_, err = f.WriteAt(half, int64(end))
	return errors.Join(err, f.Close())
}

// smallDisk mounts a file system of a few bytes.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+strconv.Itoa(size), "tmpfs", dir).CombinedOutput()
	if err != nil {
		t.Skipf("a small disk takes the right to mount one: %v %s", err, out)
	}
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
	return dir
}

// fill takes all that is left of a disk, and returns the file that does.
func fill(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	block := make([]byte, 1<<16)
	for err == nil {
		if _, err = f.Write(block); errors.Is(err, syscall.ENOSPC) && len(block) > 1 {
			block, err = block[:len(block)/2], nil
		}
	}
	return path
}
