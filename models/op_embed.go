package models

import G "gorgonia.org/gorgonia"

// embed returns row ids[r] of table (vocab, dim) for every r: (rows, dim). Its gradient adds rows per token.
func (e env) embed(name string, rows, vocab, dim int) *op {
	o := e.op("embed", name)
	o.args, o.out = []arg{matrix(vocab, dim), tokens(rows)}, matrix(rows, dim)
	o.run = func(y []float32, v []G.Value) { e.Gather(y, f32(v[0]), i32(v[1]), dim) }
	o.wrt = []bool{true, false}
	o.diff = func(v G.Nodes, _, dy *G.Node) (G.Nodes, error) {
		b := e.op("embed.dtable", name)
		b.args, b.out = []arg{matrix(rows, dim), tokens(rows)}, matrix(vocab, dim)
		b.part = func(dtable []float32, v []G.Value, want Range) {
			e.ScatterAddRows(dtable, f32(v[0]), i32(v[1]), vocab, dim, want.Lo, want.Hi, !e.run.first())
		}
		b.run = func(dtable []float32, v []G.Value) { b.part(dtable, v, Range{0, vocab}) }
		dtable, err := apply(b, dy, v[1])
		return G.Nodes{dtable, nil}, err
	}
	return o
}
