package replica

import (
	"errors"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// Both stores keep what Raft asks of them (its LogStore and StableStore), across closing and opening in one process, also
// after entries that conflict with a new leader's were dropped: raft-wal v0.4.0 did not open again then.
func TestStorage(t *testing.T) {
	t.Run("bolt", func(t *testing.T) { testStorage(t, (*storage).openBolt) })
	if runtime.GOOS != "windows" {
		t.Run("wal", func(t *testing.T) {
			testStorage(t, func(s *storage, dir string, l hclog.Logger) error { return s.openWAL(dir, l, nil, 0) })
		})
	}
}

func testStorage(t *testing.T, openLog func(*storage, string, hclog.Logger) error) {
	dir := filepath.Join(t.TempDir(), "deep", "er")
	open := func() *storage {
		s, err := openStorageWith(dir, hclog.NewNullLogger(), openLog)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	entry := func(i uint64) *raft.Log {
		return &raft.Log{Index: i, Term: i / 3, Type: raft.LogCommand, Data: []byte{byte(i), 1}, Extensions: []byte{7}, AppendedAt: time.Unix(5, int64(i))}
	}
	var batch []*raft.Log
	for i := uint64(1); i <= 10; i++ {
		batch = append(batch, entry(i))
	}
	check := func(first, last uint64) {
		t.Helper()
		f, err1 := s.log.FirstIndex()
		l, err2 := s.log.LastIndex()
		if f != first || l != last || err1 != nil || err2 != nil {
			t.Fatalf("entries %d to %d, want %d to %d (%v, %v)", f, l, first, last, err1, err2)
		}
		for i := first; i <= last && first > 0; i++ {
			var got raft.Log
			if err := s.log.GetLog(i, &got); err != nil {
				t.Fatal(err)
			}
			if want := entry(i); !got.AppendedAt.Equal(want.AppendedAt) || got.Term != want.Term || !reflect.DeepEqual(got.Data, want.Data) || !reflect.DeepEqual(got.Extensions, want.Extensions) {
				t.Fatalf("entry %d: %+v", i, got)
			}
		}
		var gone raft.Log
		if err := s.log.GetLog(last+1, &gone); !errors.Is(err, raft.ErrLogNotFound) {
			t.Fatalf("entry %d: %v", last+1, err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(0, 0)
	must(s.log.StoreLogs(batch))
	check(1, 10)
	must(s.log.DeleteRange(1, 4))  // behind a snapshot
	must(s.log.DeleteRange(8, 10)) // a conflict with the leader
	check(5, 7)
	must(s.log.StoreLog(entry(8)))
	if v, err := s.stable.GetUint64([]byte("term")); v != 0 || err != nil {
		t.Fatalf("unset: %d, %v", v, err)
	}
	must(s.stable.SetUint64([]byte("term"), 7))
	must(s.stable.Set([]byte("vote"), []byte("me")))
	must(s.close())
	s = open()
	check(5, 8)
	if v, err := s.stable.GetUint64([]byte("term")); v != 7 || err != nil {
		t.Fatalf("set: %d, %v", v, err)
	}
	if v, err := s.stable.Get([]byte("vote")); string(v) != "me" || err != nil {
		t.Fatalf("set: %q, %v", v, err)
	}
	must(s.close())
}

func FuzzEntry(f *testing.F) {
	f.Add(encodeEntry(&raft.Log{Term: 1, Data: []byte("data"), Extensions: []byte("x")}))
	f.Fuzz(func(t *testing.T, data []byte) {
		var l raft.Log
		if decodeEntry(data, 1, &l) == nil {
			var again raft.Log
			if err := decodeEntry(encodeEntry(&l), 1, &again); err != nil || !reflect.DeepEqual(l, again) {
				t.Fatalf("%+v, %+v, %v", l, again, err)
			}
		}
	})
}
