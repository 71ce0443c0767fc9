package gpu

// shares keeps the newest sample of each process.
type shares struct {
	busy map[int]int
	at   map[int]uint64
}

func (s *shares) add(pid uint32, at uint64, busy uint32) {
	if s.busy == nil {
		s.busy, s.at = map[int]int{}, map[int]uint64{}
	}
	if p := int(pid); at >= s.at[p] {
		s.at[p], s.busy[p] = at, int(min(busy, 100))
	}
}
