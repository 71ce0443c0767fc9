package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// names lists the files in dir.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	for _, content := range []string{"", "one", strings.Repeat("two", 1<<18)} {
		if err := WriteFile(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Fatalf("read %d bytes, %v; wrote %d", len(got), err, len(content))
		}
	}
	if st, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && st.Mode().Perm() != 0o640 {
		t.Fatalf("mode %v, %v", st.Mode(), err)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"state"}) {
		t.Fatalf("left over: %v", got)
	}
}

func TestWriteFileIntoMissingDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "absent", "state")
	err := WriteFile(path, []byte("x"), 0o600)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Fatalf("error %v does not name %s", err, path)
	}
}

// failing wraps a file and fails one of its steps.
type failing struct {
	file
	step string
	err  error
}

func (f failing) Write(p []byte) (int, error) {
	if f.step == "write" {
		n, err := f.file.Write(p[:len(p)/2])
		return n, errors.Join(err, f.err)
	}
	return f.file.Write(p)
}

func (f failing) Sync() error {
	if f.step == "fsync" {
		return f.err
	}
	return f.file.Sync()
}

func (f failing) Close() error {
	err := f.file.Close()
	if f.step == "close" {
		return f.err
	}
	return err
}

// Every step of WriteFile fails in turn, with a full disk and with a broken one: the old file stays whole until the
// rename, nothing is left over, and the error names the step, the path and the cure.
func TestWriteFileFailures(t *testing.T) {
	for _, step := range []string{"open", "write", "fsync", "close", "rename", "directory"} {
		for _, cause := range []error{syscall.ENOSPC, syscall.EIO} {
			t.Run(fmt.Sprintf("%s/%v", step, cause), func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, "state")
				if err := WriteFile(path, []byte("old"), 0o600); err != nil {
					t.Fatal(err)
				}
				err := writeFile(failOn(step, cause), path, []byte("new content"), 0o600)
				if !errors.Is(err, cause) || !strings.Contains(err.Error(), step) || !strings.Contains(err.Error(), path) {
					t.Errorf("error %q does not name the step %q, %s and %v", err, step, path, cause)
				}
				if full := cause == syscall.ENOSPC; errors.Is(err, ErrNoSpace) != full || strings.Contains(err.Error(), "free some space") != full {
					t.Errorf("error %q: ErrNoSpace is %v", err, !full)
				}
				want := "old"
				if step == "directory" {
					want = "new content"
				}
				if got, err := os.ReadFile(path); err != nil || string(got) != want {
					t.Errorf("file holds %q, %v; want %q", got, err, want)
				}
				if got := names(t, dir); !slices.Equal(got, []string{"state"}) {
					t.Errorf("left over: %v", got)
				}
			})
		}
	}
}

func failOn(step string, cause error) ops {
	o := osOps
	o.open = func(path string, perm fs.FileMode) (file, error) {
		if step == "open" {
			return nil, cause
		}
		f, err := createTemp(path, perm)
		return failing{f, step, cause}, err
	}
	if step == "rename" {
		o.rename = func(string, string) error { return cause }
	}
	if step == "directory" {
		o.syncDir = func(string) error { return cause }
	}
	return o
}

func TestLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	release, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(dir); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("second lock: %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	release, err = Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
}
