package council

import (
	"container/heap"
	"time"
)

// event is something that happens at a virtual time.
type event struct {
	at  int64 // milliseconds
	seq uint64
	do  func()
}

// queue is a heap of events, earliest first, and of equal times the one that was planned first.
type queue []event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// After plans an event.
func (s *Sim) After(d time.Duration, do func()) {
	s.seq++
	heap.Push(&s.events, event{at: s.now + d.Milliseconds(), seq: s.seq, do: do})
}

// Now is the true virtual time.
func (s *Sim) Now() time.Time { return time.UnixMilli(s.now) }

// step lets the next event happen, and before it what At planned for it.
func (s *Sim) step() bool {
	if len(s.events) == 0 {
		return false
	}
	for _, do := range s.at[s.Events] {
		do()
	}
	e := heap.Pop(&s.events).(event)
	s.now = e.at
	s.Events++
	e.do()
	return true
}

// At plans something right before the event of this number, counted from 0.
func (s *Sim) At(event int, do func()) { s.at[event] = append(s.at[event], do) }

// Run plays until the run is finished for every honest aggregator that is up and every trainer knows its last
// statement, or until limit has passed, and reports whether it finished.
func (s *Sim) Run(limit time.Duration) bool {
	end := s.now + limit.Milliseconds()
	for len(s.events) > 0 && s.events[0].at <= end {
		s.step()
		if s.Events%64 == 0 && s.finished() {
			return true
		}
	}
	return s.finished()
}
