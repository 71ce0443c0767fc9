package durable

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"drystone/protocol"
)

func frames(t interface{ Fatal(...any) }, p *Part, max int) (out []string) {
	if err := p.Frames(max, func(b []byte) bool { out = append(out, string(b)); return true }); err != nil {
		t.Fatal(err)
	}
	return out
}

// Wherever a crash cuts the file, the frames before are read, and what is appended then is read after them.
func TestPartSurvivesCuts(t *testing.T) {
	s, err := OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		d := protocol.Hash(fmt.Sprint(n))
		want := rapid.SliceOfN(rapid.StringN(0, 20, 20), 1, 6).Draw(t, "frames")
		p, err := s.OpenPart(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range want {
			if err := p.Append([]byte(f)); err != nil {
				t.Fatal(err)
			}
		}
		if got := frames(t, p, 20); !slices.Equal(got, want) {
			t.Fatalf("%q, want %q", got, want)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		whole := 0
		for _, f := range want {
			whole += 4 + len(f)
		}
		cut := rapid.IntRange(0, whole).Draw(t, "cut")
		if err := os.Truncate(s.partPath(d), int64(cut)); err != nil {
			t.Fatal(err)
		}
		var left []string
		for _, f := range want {
			if cut -= 4 + len(f); cut < 0 {
				break
			}
			left = append(left, f)
		}
		if p, err = s.OpenPart(d); err != nil {
			t.Fatal(err)
		}
		if got := frames(t, p, 20); !slices.Equal(got, left) {
			t.Fatalf("after the cut %q, want %q", got, left)
		}
		if err := p.Append([]byte("more")); err != nil {
			t.Fatal(err)
		}
		if got := frames(t, p, 20); !slices.Equal(got, append(left, "more")) {
			t.Fatalf("after more %q", got)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// A frame beyond the reader's bound is not read into memory, and what follows it is lost.
func TestPartBounds(t *testing.T) {
	s, err := OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.OpenPart(protocol.Hash("x"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"ab", "abcd", "a"} {
		if err := p.Append([]byte(f)); err != nil {
			t.Fatal(err)
		}
	}
	if got := frames(t, p, 3); !slices.Equal(got, []string{"ab"}) {
		t.Fatalf("%q", got)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.RemovePart(protocol.Hash("x")); err != nil {
			t.Fatal(err)
		}
	}
}

// Parts of blobs that nobody wants any more do not fill the disk.
func TestOldPartsGo(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range keptParts + 3 {
		d := protocol.Hash(fmt.Sprint(i))
		p, err := s.OpenPart(d)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		at := time.Unix(int64(i), 0)
		if err := os.Chtimes(s.partPath(d), at, at); err != nil {
			t.Fatal(err)
		}
	}
	if s, err = OpenStore(dir); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Join(dir, "parts"))
	if err != nil || len(left) != keptParts {
		t.Fatalf("%d parts left, %v", len(left), err)
	}
	if _, err := os.Stat(s.partPath(protocol.Hash("2"))); err == nil {
		t.Error("the oldest stayed")
	}
}
