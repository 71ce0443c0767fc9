package protocol

import (
	"fmt"

	"github.com/BurntSushi/toml"
)

// ParseTOML reads a run.toml. Keys that it does not know are errors, since a misspelt key would silently train
// something else. name is used in messages. The result is not yet validated: a launcher fills in data and founder first.
func ParseTOML(name string, text []byte, into *RunSpec) error {
	if len(text) > MaxSpec {
		return fmt.Errorf("%s: %d bytes, limit %d: %w", name, len(text), MaxSpec, ErrTooLarge)
	}
	meta, err := toml.Decode(string(text), into)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return fmt.Errorf("%s: unknown key %q; see docs/protocol.md for the keys of a run spec: %w", name, unknown[0].String(), ErrBadSpec)
	}
	return nil
}
