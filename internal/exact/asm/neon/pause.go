package main

// genPause emits the loop that waits. YIELD is no operation on most processors;
// ISB, which empties the pipeline, takes some ten cycles on all.
func genPause(f *file) {
	k := f.kernel("Pause", "func(n int)", "waits for n short moments, n at least 1.")
	n := k.load("n")
	k.label("again")
	k.line("ISB $15")
	k.next(n, "again")
	k.done()
}
