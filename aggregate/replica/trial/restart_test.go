package trial

import "testing"

// A member that has played a run comes back with its whole state; a short version of the figure restart-time.
func TestRestartOfLongRun(t *testing.T) {
	rounds := uint32(60)
	if *long {
		rounds = 2000
	}
	l, sizes, err := NewLongRun(t.Context(), t.TempDir(), rounds, []uint32{rounds / 2, rounds})
	must(t, err)
	if len(sizes) != 2 || sizes[1].Log != sizes[0].Log && !*long {
		t.Errorf("sizes %+v", sizes)
	}
	took, err := l.Restart(t.Context())
	must(t, err)
	t.Logf("back after %s; %+v", took, sizes)
}
