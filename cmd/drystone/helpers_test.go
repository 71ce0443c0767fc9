package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"drystone/models"
	"drystone/node"
	"drystone/protocol"
)

func parseObject(ts *testscript.TestScript, text string) map[string]json.RawMessage {
	var object map[string]json.RawMessage
	ts.Check(json.Unmarshal([]byte(text), &object))
	return object
}

// tmpfs DIR SIZE mounts a small file system for a script's time.
func tmpfs(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+args[1], "none", dir).CombinedOutput(); err != nil {
		ts.Fatalf("cannot mount a file system here: %v: %s", err, out)
	}
	ts.Defer(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			ts.Logf("umount: %v: %s", err, out)
		}
	})
}

// tinyOf is the model of the small demonstration, which must have this many parameters.
func tinyOf(t *testing.T, params int) protocol.ModelSpec {
	t.Helper()
	spec := node.TinySpec(1, 1, 1).Model
	if _, n, err := models.Layout(spec); err != nil || n != params {
		t.Fatalf("%d parameters, want %d: %v", n, params, err)
	}
	return spec
}
