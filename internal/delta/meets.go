package delta

// meets finds where the entries of lists have the same place: a list of entries for each place, later rows first.
type meets struct {
	met   [ChunkParams]uint32
	head  [ChunkParams]int32 // 1 + the number of the latest entry, 0 for none
	next  []int32            // of each entry, the one before it at its place, as in head
	row   []uint16
	level []byte
	dots  []int32 // of one row with those up to it
}

// count returns how many pairs of entries have one place, each with itself among them.
func (m *meets) count(lists []entries) (pairs int) {
	clear(m.met[:])
	for _, e := range lists {
		for _, at := range e.at {
			m.met[at%ChunkParams]++
			pairs += int(m.met[at%ChunkParams])
		}
	}
	return pairs
}

// meetings adds the inner products of the lists of a chunk, by the pairs of entries that have one place. It takes them in
// whatever order: see levelTiles.
func (p *products) meetings() {
	m := &p.meets
	clear(m.head[:])
	m.next, m.row, m.level = m.next[:0], m.row[:0], m.level[:0]
	if m.dots == nil {
		m.dots = make([]int32, p.n)
	}
	for i, e := range p.lists {
		dots, own := m.dots[:i+1], int32(0)
		for k, at := range e.at {
			l, first := int32(int8(e.level[k])), &m.head[at%ChunkParams]
			for f := *first; f != 0; f = m.next[f-1] {
				dots[m.row[f-1]] += l * int32(int8(m.level[f-1]))
			}
			m.next, m.row, m.level = append(m.next, *first), append(m.row, uint16(i)), append(m.level, e.level[k])
			*first = int32(len(m.level))
			own += l * l
		}
		dots[i] = own
		sums := p.sums[i*(i+1)/2:][:i+1]
		for j, d := range dots {
			if d != 0 {
				sums[j] += float64(d) * float64(p.scale[i]*p.scale[j])
				dots[j] = 0
			}
		}
	}
}
