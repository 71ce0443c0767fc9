package node

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"drystone/docs"
	"drystone/internal/durable"
	"drystone/protocol"
)

// opticks is the default corpus: Newton's Opticks, 567 KB of English that every Go installation holds.
const opticks = "src/testdata/Isaac.Newton-Opticks.txt"

// maxCorpus bounds the data that a launcher reads into memory.
const maxCorpus = 1 << 30

// LoadCorpus reads and joins the named files. Without names it takes the default corpus: Newton's Opticks from the Go
// installation, else this program's own documentation. found says in words what it took.
func LoadCorpus(files []string) (data []byte, found string, err error) {
	if len(files) == 0 {
		if path, text := findOpticks(); text != nil {
			return text, fmt.Sprintf("Newton's Opticks, %d bytes, from %s", len(text), path), nil
		}
		text, err := docs.Text()
		if err != nil {
			return nil, "", fmt.Errorf("embedded documentation: %w", err)
		}
		return text, fmt.Sprintf("this program's own documentation, %d bytes (no Go installation with Newton's Opticks found)", len(text)), nil
	}
	var joined bytes.Buffer
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, "", fmt.Errorf("data file: %w; name a readable file with --data", err)
		}
		if len(text) == 0 {
			return nil, "", fmt.Errorf("data file %s is empty; name a file with text in it", name)
		}
		if joined.Len()+len(text) > maxCorpus {
			return nil, "", fmt.Errorf("data files exceed %d bytes at %s; name less data", maxCorpus, name)
		}
		joined.Write(text)
	}
	return joined.Bytes(), fmt.Sprintf("%s, %d bytes", strings.Join(files, ", "), joined.Len()), nil
}

// findOpticks looks below $GOROOT, then below what the go command says. runtime.GOROOT is empty in a binary built with
// -trimpath, so it is not asked.
func findOpticks() (path string, text []byte) {
	roots := []string{os.Getenv("GOROOT")}
	if out, err := exec.Command("go", "env", "GOROOT").Output(); err == nil {
		roots = append(roots, strings.TrimSpace(string(out)))
	}
	for _, root := range roots {
		if root == "" {
			continue
		}
		path := filepath.Join(root, filepath.FromSlash(opticks))
		if text, err := os.ReadFile(path); err == nil && len(text) > 0 {
			return "GOROOT/" + opticks, text
		}
	}
	return "", nil
}

// storeCorpus puts a dataset's chunks and manifest into a store.
func storeCorpus(store *durable.Store, data []byte) error {
	m := protocol.NewManifest(data)
	for at := 0; at < len(data); at += protocol.ChunkSize {
		if _, err := store.Put(data[at:min(at+protocol.ChunkSize, len(data))]); err != nil {
			return fmt.Errorf("store dataset: %w", err)
		}
	}
	if _, err := store.Put(m.Encode()); err != nil {
		return fmt.Errorf("store dataset manifest: %w", err)
	}
	return nil
}

// blobGetter reads a blob of at most limit bytes, from disk or from the run's peers.
type blobGetter func(ctx context.Context, d protocol.Digest, limit int64) ([]byte, error)
