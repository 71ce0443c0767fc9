package exact

type embedArgs struct {
	y, table   []float32
	ids        []int32
	dim, vocab int
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
// ascending order, of acc = acc + dy[r], in blocks of 512 rows from +0; blocks
// without such a row are absent. A row of dtable that no id names is +0.
func (e *Engine) ScatterAdd(dtable, dy []float32, ids []int32, vocab, dim int) {
	const kernel = "ScatterAdd"
	require(dim > 0 && vocab >= 0, kernel, "bad dimension")
	need(kernel, "dtable", len(dtable), vocab*dim)
	need(kernel, "dy", len(dy), len(ids)*dim)
	checkIDs(kernel, ids, vocab)
	a := &e.args.embed
	*a = embedArgs{y: dy, table: dtable, ids: ids, dim: dim, vocab: vocab}
	a.order, a.start = e.shared.ints(0, len(ids)), e.shared.ints(1, vocab+1)
	sortByID(a.order, a.start, ids)
	e.pool.run(e, vocab, func(e *Engine, w, v int) {
		if e.vec != nil {
			e.vecScatterRow(&e.args.embed, v, w)
		} else {
			refScatterRow(&e.args.embed, v)
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

func refScatterRow(a *embedArgs, v int) {
	rows := a.order[a.start[v]:a.start[v+1]]
	for j := range a.dim {
		var f colFold
		for _, r := range rows {
			*f.at(int(r)) += a.y[int(r)*a.dim+j]
		}
		a.table[v*a.dim+j] = f.sum()
	}
}
