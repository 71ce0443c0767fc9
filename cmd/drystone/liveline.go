package main

import "fmt"

// liveLine shows what a command is at: on a terminal one line that is rewritten, elsewhere nothing. One goroutine uses it.
type liveLine struct {
	t    *terminal
	live bool
}

func newLiveLine(t *terminal) *liveLine { return &liveLine{t, isTerminal(t.err)} }

func (l *liveLine) status(format string, args ...any) {
	if l.live {
		fmt.Fprintf(l.t.err, "\r\x1b[K"+format, args...)
	}
}

// close wipes the line.
func (l *liveLine) close() { l.status("") }
