package trial

import "testing"

// The outcome depends on the run and on nothing else.
func TestUndisturbed(t *testing.T) {
	a, err := Undisturbed(5)
	must(t, err)
	b, err := Undisturbed(5)
	must(t, err)
	c, err := Undisturbed(6)
	must(t, err)
	if a != b || a == c {
		t.Errorf("outcomes %s, %s and of another run %s", a.Short(), b.Short(), c.Short())
	}
}
