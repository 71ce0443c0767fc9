package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"drystone/node"
	"drystone/protocol"
)

// corpus is the text of Go's own source: large enough that no run here sees much of it twice.
type corpus struct {
	text   []byte
	held   uint64          // bytes at the end that are held out: one file in heldOut, so that they are like the rest
	digest protocol.Digest // of text
	what   string
}

// heldOut is the number of files of which one is held out.
const heldOut = 64

// goSource reads the .go files under GOROOT/src in the order of their paths, every heldOut-th of them last.
func goSource(ctx context.Context) (*corpus, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT", "GOVERSION").Output()
	root, version, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if err != nil || root == "" {
		return nil, skipped(fmt.Sprintf("needs a Go installation with its source (%v)", err))
	}
	var files []string
	src := filepath.Join(root, "src")
	err = filepath.WalkDir(src, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && strings.HasSuffix(path, ".go") {
			files = append(files, filepath.ToSlash(path)) // walked in the order of names, directory by directory
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read Go's source: %w", err)
	}
	slices.Sort(files)
	return readCorpus(files, fmt.Sprintf("the %d .go files in the source of %s", len(files), version))
}

// readCorpus joins files.
func readCorpus(files []string, what string) (*corpus, error) {
	var trained, held bytes.Buffer
	for i, name := range files {
		text, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil {
			return nil, fmt.Errorf("read the corpus: %w", err)
		}
		to := &trained
		if i%heldOut == heldOut-1 {
			to = &held
		}
		to.Write(text)
	}
	c := &corpus{held: uint64(held.Len())}
	c.text = append(trained.Bytes(), held.Bytes()...)
	c.digest = protocol.MerkleRoot(c.text)
	c.what = fmt.Sprintf("%s, %d bytes, digest %s", what, len(c.text), c.digest)
	return c, nil
}

// spec is what a RunSpec says of the corpus.
func (c *corpus) spec() protocol.DataSpec {
	s := node.DefaultSpec()
	s.Data.Holdout = c.held
	return node.WithData(s, c.text).Data
}
