package protocol

import (
	"fmt"
	"strings"

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
	unknown := meta.Undecoded()
	for _, key := range meta.Keys() {
		// The decoder takes "Seed" for seed, and of both it would keep either one, by chance.
		if s := key.String(); s != strings.ToLower(s) {
			unknown = append(unknown, key)
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("%s: unknown key %q; see docs/protocol.md for the keys of a run spec: %w", name, unknown[0].String(), ErrBadSpec)
	}
	return nil
}
