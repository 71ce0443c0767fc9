package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"drystone/internal/exact"
)

type versionCmd struct {
	JSON bool `help:"Print one JSON object."`
}

// Run prints what this binary is.
func (c *versionCmd) Run(t *terminal) error {
	v := map[string]string{"version": "0.1.0", "engine": exact.Version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH, "commit": "unknown"}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v["commit"] = s.Value
			}
		}
	}
	if c.JSON {
		return writeJSON(t.out, v)
	}
	_, err := fmt.Fprintf(t.out, "drystone %s (engine %s, commit %s, %s, %s)\n", v["version"], v["engine"], v["commit"], v["go"], v["platform"])
	return err
}
