package gossip

import "sync"

// signal wakes everyone who waits for a change. A waiter takes changed before it looks at the state, so that no change
// is missed. The zero value is not usable; see newSignal.
type signal struct {
	mu sync.Mutex
	ch chan struct{} // closed and replaced by fire
}

func newSignal() *signal { return &signal{ch: make(chan struct{})} }

// changed returns a channel that the next fire closes.
func (s *signal) changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ch
}

func (s *signal) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.ch)
	s.ch = make(chan struct{})
}
