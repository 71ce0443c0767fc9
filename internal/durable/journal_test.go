package durable

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

func openTestJournal(t testing.TB, path string, want ...string) *Journal {
	t.Helper()
	j, records, err := OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	if got := fmt.Sprintf("%s", records); got != fmt.Sprintf("%s", want) {
		t.Fatalf("records %s, want %s", got, want)
	}
	return j
}

// What was appended is there again, across replacing.
func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := openTestJournal(t, path)
	for _, r := range []string{"one", "two", "three"} {
		if err := j.Append([]byte(r)); err != nil {
			t.Fatal(err)
		}
	}
	j.Close()
	if err := j.Append([]byte("late")); err == nil {
		t.Error("appended after Close")
	}
	j = openTestJournal(t, path, "one", "two", "three")
	if err := j.Replace([][]byte{[]byte("three")}); err != nil {
		t.Fatal(err)
	}
	if err := j.Append([]byte("four")); err != nil {
		t.Fatal(err)
	}
	if j.Append(nil) == nil || j.Append(make([]byte, MaxJournalRecord+1)) == nil {
		t.Error("took a record out of bounds")
	}
	j.Close()
	openTestJournal(t, path, "three", "four")
}

// Wherever a crash cuts or damages the end, the records before it are there, and new ones follow them.
func TestJournalTornTail(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		path := filepath.Join(dir, "torn")
		var whole []byte
		ends := []int{0}
		for range rapid.IntRange(0, 6).Draw(t, "records") {
			whole = appendJournal(whole, rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "record"))
			ends = append(ends, len(whole))
		}
		at := rapid.IntRange(0, len(whole)).Draw(t, "cut")
		data := bytes.Clone(whole[:at])
		if flip := rapid.Bool().Draw(t, "flip"); flip && at > 0 {
			at = rapid.IntRange(0, at-1).Draw(t, "bit")
			data[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "which")
		}
		kept := 0
		for i, end := range ends {
			if end <= at {
				kept = i
			}
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		j, records, err := OpenJournal(path)
		if err != nil || len(records) != kept {
			t.Fatalf("%d records of %d before byte %d: %v", len(records), kept, at, err)
		}
		if err := errors.Join(j.Append([]byte("next")), j.Close()); err != nil {
			t.Fatal(err)
		}
		j, records, err = OpenJournal(path)
		if err != nil || len(records) != kept+1 || string(records[kept]) != "next" {
			t.Fatalf("after the cut: %d records, %v", len(records), err)
		}
		j.Close()
	})
}

// Appends that come together share fsyncs, and each returns after one that covers it.
func TestJournalBatches(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := openTestJournal(t, path)
	var syncs atomic.Int64
	first, go_ := make(chan struct{}), make(chan struct{})
	j.sync = func(f *os.File) error {
		if syncs.Add(1) == 1 {
			close(first)
			<-go_
		}
		return f.Sync()
	}
	var all sync.WaitGroup
	add := func(i int) {
		all.Go(func() {
			if err := j.Append([]byte(fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		})
	}
	add(0)
	<-first
	for i := range 100 {
		add(i + 1)
	}
	for gathered := 0; gathered < 100; { // behind the first
		j.mu.Lock()
		records, _ := readJournal(j.next.data)
		gathered = len(records)
		j.mu.Unlock()
	}
	close(go_)
	all.Wait()
	if n := syncs.Load(); n != 2 {
		t.Errorf("%d fsyncs for 101 records", n)
	}
	j.Close()
	if _, records, err := OpenJournal(path); len(records) != 101 || err != nil {
		t.Errorf("%d records, %v", len(records), err)
	}
}

// After an fsync that failed nothing is acknowledged any more, whatever a later one says.
func TestJournalFails(t *testing.T) {
	j := openTestJournal(t, filepath.Join(t.TempDir(), "journal"))
	j.sync = func(*os.File) error { return syscall.EIO }
	if err := j.Append([]byte("a")); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	j.sync = (*os.File).Sync
	for _, err := range []error{j.Append([]byte("b")), j.Flush(), j.Replace(nil)} {
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("afterwards: %v", err)
		}
	}
}

func FuzzJournal(f *testing.F) {
	f.Add(appendJournal(appendJournal(nil, []byte("one")), []byte("two")))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		records, good := readJournal(data)
		var again []byte
		for _, r := range records {
			again = appendJournal(again, r)
		}
		if !bytes.Equal(again, data[:good]) {
			t.Fatalf("%d records do not encode to what they were read from", len(records))
		}
	})
}
