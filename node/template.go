package node

import (
	"bytes"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"drystone/protocol"
)

const specHeader = `# A run spec. Keys left out keep the values below; docs/protocol.md explains each key. founder and data are filled in
# by "drystone launch" from the key and --data.

`

// encodeTOML renders a spec without the keys that launch fills in.
func encodeTOML(s *protocol.RunSpec) string {
	var b bytes.Buffer
	e := toml.NewEncoder(&b)
	e.Indent = ""
	if err := e.Encode(s); err != nil {
		return "" // only for types that a RunSpec does not have
	}
	filled := []string{"founder", "manifest", "tokens", "holdout"}
	var kept []string
	for line := range strings.Lines(b.String()) {
		key, _, _ := strings.Cut(line, " ")
		if !slices.Contains(filled, key) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}
