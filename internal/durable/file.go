package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// tmpPrefix begins the name of every temporary file of this package.
const tmpPrefix = ".tmp-"

// ErrNoSpace means that the disk or the user's quota is full. The old file is whole.
var ErrNoSpace = errors.New("no space left")

// WriteFile replaces the file at path by data with the given permissions. A reader, or a process that starts after a
// crash, sees the old content or the new, never a part. It returns after the data is on the disk. An error names the
// step and the path; it is ErrNoSpace when the disk is full.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	return writeFile(osOps, path, data, perm)
}

// ops are the steps of WriteFile, so that tests can make each one fail.
type ops struct {
	open    func(path string, perm fs.FileMode) (file, error)
	rename  func(from, to string) error
	syncDir func(dir string) error
	remove  func(path string) error
}

type file interface {
	Name() string
	Write(p []byte) (int, error)
	Sync() error
	Close() error
}

var osOps = ops{open: createTemp, rename: os.Rename, syncDir: syncDir, remove: os.Remove}

func writeFile(o ops, path string, data []byte, perm fs.FileMode) error {
	f, err := o.open(path, perm)
	if err != nil {
		return stepError("open a temporary file beside", path, err)
	}
	tmp := f.Name()
	if err := fill(f, data); err != nil {
		return errors.Join(stepError(err.step, path, err.cause), removeTemp(o, tmp))
	}
	if err := o.rename(tmp, path); err != nil {
		return errors.Join(stepError("rename the temporary file to", path, err), removeTemp(o, tmp))
	}
	if err := o.syncDir(filepath.Dir(path)); err != nil {
		return stepError("fsync the directory of", path, err)
	}
	return nil
}

type fillError struct {
	step  string
	cause error
}

// fill writes, syncs and closes f. It always closes.
func fill(f file, data []byte) *fillError {
	if _, err := f.Write(data); err != nil {
		f.Close() // the write's error is the one to report; the file goes away
		return &fillError{"write the temporary file of", err}
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return &fillError{"fsync the temporary file of", err}
	}
	if err := f.Close(); err != nil {
		return &fillError{"close the temporary file of", err}
	}
	return nil
}

func removeTemp(o ops, tmp string) error {
	if err := o.remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("and the temporary file stays behind: %w", err)
	}
	return nil
}

func stepError(step, path string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, errDiskFull) || errors.Is(err, errQuota) {
		return fmt.Errorf("%s %s: %w: free some space there or choose another data directory: %w",
			step, path, ErrNoSpace, err)
	}
	return fmt.Errorf("%s %s: %w", step, path, err)
}

func createTemp(path string, perm fs.FileMode) (file, error) {
	f, err := os.CreateTemp(filepath.Dir(path), tmpPrefix+filepath.Base(path)+"-*")
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(perm); err != nil && runtime.GOOS != "windows" {
		f.Close()
		os.Remove(f.Name())
		return nil, err
	}
	return f, nil
}

// syncDir makes the names in dir durable. Windows offers no such call; there NTFS journals the rename itself.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}

// mkdir makes dir and its parents and makes their names durable.
func mkdir(dir string) error {
	if st, err := os.Stat(dir); err == nil && st.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := mkdir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return stepError("make directory", dir, err)
	}
	if err := syncDir(parent); err != nil {
		return stepError("fsync the directory of", dir, err)
	}
	return nil
}

// sweep removes what killed processes left in dir.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, err)
	}
	for _, e := range entries {
		if e.IsDir() || !strings.HasPrefix(e.Name(), tmpPrefix) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a left-over temporary file: %w", err)
		}
	}
	return nil
}
