package council

import "time"

// CrashAt stops an aggregator right before an event, and starts it again after a pause, or never for a pause of 0.
//
// With one crash of four, also of the log's leader, the run must finish, and every honest replica that is up be equal to
// an undisturbed run's. Two of four down at once stop the log: nothing false, and no progress until one is back.
func (s *Sim) CrashAt(event, aggregator int, pause time.Duration) {
	s.At(event, func() {
		a := s.Aggs[aggregator]
		a.Crash()
		if pause > 0 {
			s.After(pause, a.Restart)
		}
	})
}
