package exact

type embedArgs struct {
	y, table   []float32
	ids        []int32
	dim, lo    int
	accumulate bool
	order      []int32 // rows sorted by id, then ascending
	start      []int32 // order[start[v]:start[v+1]] are the rows with id v
}

// Gather copies rows of table (vocab,dim) to y (len(ids),dim). An id outside the
// table panics with *ShapeError before anything is written.
func (e *Engine) Gather(y, table []float32, ids []int32, dim int) {
	const kernel = "Gather"
	require(dim > 0, kernel, "bad dimension")
	need(kernel, "y", len(y), len(ids)*dim)
	checkIDs(kernel, ids, len(table)/dim)
	e.args.embed = embedArgs{y: y, table: table, ids: ids, dim: dim}
	e.pool.run(e, pieces(len(ids), rowsPerPiece(dim)), func(e *Engine, _, i int) {
		a := &e.args.embed
		lo, hi := span(i, rowsPerPiece(a.dim), len(a.ids))
		for r := lo; r < hi; r++ {
			copy(a.y[r*a.dim:][:a.dim], a.table[int(a.ids[r])*a.dim:])
		}
	})
}

func checkIDs(kernel string, ids []int32, vocab int) {
	for _, id := range ids {
		require(id >= 0 && int(id) < vocab, kernel, "id out of range")
	}
}

// ScatterAdd overwrites dtable (vocab,dim) with the gradient of Gather: row v is
// the column fold, over the rows r of dy (len(ids),dim) with ids[r] = v in
// ascending order, of acc = acc + dy[r], in blocks of 128 rows from +0; blocks
// without such a row are absent. A row of dtable that no id names is +0.
func (e *Engine) ScatterAdd(dtable, dy []float32, ids []int32, vocab, dim int) {
	e.ScatterAddRows(dtable, dy, ids, vocab, dim, 0, vocab, false)
}

// ScatterAddRows is ScatterAdd for rows [lo,hi) of the table alone, which dtable
// (hi-lo,dim) holds. With accumulate it begins with the dtable of earlier rows
// of dy, of which there were a multiple of 128, and adds the blocks of these. An
// id absent until now has +0 there, which changes no block that is added to it:
// a sum from +0 is never -0.
func (e *Engine) ScatterAddRows(dtable, dy []float32, ids []int32, vocab, dim, lo, hi int, accumulate bool) {
	const kernel = "ScatterAdd"
	require(dim > 0 && 0 <= lo && lo <= hi && hi <= vocab, kernel, "bad dimension")
	need(kernel, "dtable", len(dtable), (hi-lo)*dim)
	need(kernel, "dy", len(dy), len(ids)*dim)
	checkIDs(kernel, ids, vocab)
	a := &e.args.embed
	*a = embedArgs{y: dy, table: dtable, ids: ids, dim: dim, lo: lo, accumulate: accumulate}
	a.order, a.start = e.shared.ints(0, len(ids)), e.shared.ints(1, vocab+1)
	sortByID(a.order, a.start, ids)
	e.pool.run(e, hi-lo, func(e *Engine, w, i int) {
		if e.vec != nil {
			e.vecScatterRow(&e.args.embed, i, w)
		} else {
			refScatterRow(&e.args.embed, i)
		}
	})
}

// sortByID is a stable counting sort; start has one element more than there are ids.
func sortByID(order, start, ids []int32) {
	clear(start)
	for _, id := range ids {
		start[id]++
	}
	sum := int32(0)
	for v, n := range start {
		sum += n
		start[v] = sum
	}
	for r := len(ids) - 1; r >= 0; r-- {
		start[ids[r]]--
		order[start[ids[r]]] = int32(r)
	}
}

// rowsOf returns the rows of y with the id of row i of the table.
func (a *embedArgs) rowsOf(i int) []int32 { return a.order[a.start[a.lo+i]:a.start[a.lo+i+1]] }

func refScatterRow(a *embedArgs, i int) {
	for j := range a.dim {
		f := foldFrom(a.table[i*a.dim+j], a.accumulate)
		for _, r := range a.rowsOf(i) {
			*f.at(int(r)) += a.y[int(r)*a.dim+j]
		}
		a.table[i*a.dim+j] = f.sum()
	}
}
