package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"drystone/models"
	"drystone/node"
)

// launchTemplate writes a template's run.toml, shortened, and runs it in one process.
func launchTemplate(t *testing.T, template string, edit map[string]string, args ...string) (dir, out, errOut string) {
	t.Helper()
	code, text, errOut := command(t, "launch", "--template", template)
	if code != 0 {
		t.Fatalf("template %s: exit code %d\n%s", template, code, errOut)
	}
	edit["rounds"], edit["steps"], edit["segment"], edit["epoch_rounds"] = "3", "12", "4", "2"
	for key, value := range edit {
		re := regexp.MustCompile(`(?m)^` + key + ` = .*$`)
		if !re.MatchString(text) {
			t.Fatalf("template %s has no key %s", template, key)
		}
		text = re.ReplaceAllString(text, key+" = "+value)
	}
	dir = t.TempDir()
	spec := filepath.Join(dir, "run.toml")
	if err := os.WriteFile(spec, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	all := append([]string{"launch", spec, "--local", "2", "--dir", dir, "--unencrypted", "--exit-when-done"}, args...)
	code, out, errOut = command(t, all...)
	if code != 0 || strings.Contains(errOut, "WARN") {
		t.Fatalf("%v: exit code %d\n%s", all, code, errOut)
	}
	return dir, out, errOut
}

// heldOutOf returns the first number of each round's line that pattern captures.
func heldOutOf(t *testing.T, errOut, pattern string) (values []float64) {
	t.Helper()
	for _, m := range regexp.MustCompile(`held-out `+pattern).FindAllStringSubmatch(errOut, -1) {
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, v)
	}
	if len(values) != 3 || values[2] >= values[0] {
		t.Errorf("held-out values %v in\n%s", values, errOut)
	}
	return values
}

// A convnet out of the box: the scores say what they are, and the export describes the family.
func TestLaunchConvnet(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a whole run")
	}
	dir, _, errOut := launchTemplate(t, "convnet", map[string]string{})
	heldOutOf(t, errOut, `([0-9.]+) nats, accuracy [0-9.]+ %`)
	if strings.Contains(errOut, "per byte") || !strings.Contains(errOut, "examples/s") || !strings.Contains(errOut, "generated digits, 6000 examples") {
		t.Errorf("a run on images says\n%s", errOut)
	}
	model := filepath.Join(t.TempDir(), "model")
	if code, _, errOut := command(t, "export", filepath.Join(dir, "data", "aggregator-0"), "-o", model); code != 0 || errOut != "" {
		t.Fatalf("export: exit code %d\n%s", code, errOut)
	}
	f, err := os.Open(filepath.Join(model, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	spec := node.Templates()[4].Spec
	if _, meta, err := models.ReadSafetensors(f, spec.Model); err != nil || meta["name"] != spec.Name {
		t.Errorf("exported model: %v, %v", meta, err)
	}
	for file, text := range map[string]string{"config.json": `"drystone-convnet"`, "preprocessor_config.json": `"mean"`} {
		if b, err := os.ReadFile(filepath.Join(model, file)); err != nil || !strings.Contains(string(b), text) {
			t.Errorf("%s: %v\n%s", file, err, b)
		}
	}
	code, _, errOut := command(t, "export", filepath.Join(dir, "data", "aggregator-1"), "-o", model)
	if code != 0 || !strings.Contains(errOut, "no preprocessor_config.json") {
		t.Errorf("export without the data: exit code %d\n%s", code, errOut)
	}
}

// A table of the user's: y = 3a - 2b + 5, in some unit, with a column that means nothing.
func TestLaunchTable(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a whole run")
	}
	r := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	b.WriteString("a,y,noise,b\n")
	for range 500 {
		a, c := 100*r.Float64(), r.Float64()
		fmt.Fprintf(&b, "%g,%g,%g,%g\n", a, 3*a-200*c+5, r.Float64(), c)
	}
	table := filepath.Join(t.TempDir(), "table.csv")
	if err := os.WriteFile(table, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, errOut := launchTemplate(t, "mlp-regressor", map[string]string{"inputs": "3", "dim": "16"}, "--data", table, "--target", "y")
	heldOutOf(t, errOut, `([0-9.]+), RMSE [0-9.]+, R2 -?[0-9.]+`)
	rmse := heldOutOf(t, errOut, `[0-9.]+, RMSE ([0-9.]+), R2`)
	if rmse[2] > 100 || rmse[2] < 2 { // y has a deviation of 104; standardised it would have 1
		t.Errorf("RMSE %v, in the unit of the table", rmse)
	}
	if !strings.Contains(errOut, "table.csv, 500 examples") {
		t.Errorf("the run does not say what it trains on:\n%s", errOut)
	}
}
