// Package docs holds the project's documentation, embedded so that a binary alone has a text to train on.
package docs

import (
	"bytes"
	"embed"
	"io/fs"
)

//go:embed *.md
var files embed.FS

// Text returns every page but the decision records, one after the other in order of path.
func Text() ([]byte, error) {
	var text bytes.Buffer
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		page, err := files.ReadFile(path)
		text.Write(page)
		return err
	})
	return text.Bytes(), err
}
