package main

import "testing"

// Rows are read from the lines of one figure alone, wherever in a log line they stand.
func TestSimulatedRows(t *testing.T) {
	out := []byte("=== RUN TestX\n    x_test.go:3: figure a|case 1|2.5|note, with commas\n    x_test.go:4: figure b|other|1|\n    x_test.go:5: figure a|case 2|7|\nok\n")
	rows, err := simulatedRows("a", out)
	if err != nil || len(rows) != 2 || rows[0].Case != "case 1" || rows[0].Value != 2.5 || rows[0].Note != "note, with commas" || rows[1].Value != 7 {
		t.Fatal(rows, err)
	}
	for _, bad := range []string{"figure a|case|x|note", "figure a|case|1"} {
		if _, err := simulatedRows("a", []byte(bad)); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
}
