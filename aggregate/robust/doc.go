// Package robust holds the merge rules that bound what a minority of lying contributors can do to an update. The vector
// rules see n vectors through their inner products alone and answer with n weights, so a merge is the sum of w_i u_i and
// its public record is n numbers. The coordinate rules see n values at a time.
//
//	g := robust.GramOf(n, products)       // delta.Codec.Products of one shard
//	g.Add(other)                          // and of the next
//	w := robust.Weights(g, steps, params) // n weights, none negative, of a sum of at most 1 (but for rounding)
//
// Everything is a pure function of its arguments with one result, to the bit, on every machine: additions, products,
// divisions and square roots in float64 only, each rounded to nearest even, none fused, in the order below.
//
// # Order
//
//	g_ij                    the shards' sums ascending from +0; within a shard as package delta says
//	|x_i - x_j|^2           max(0, (g_ii + g_jj) - 2 g_ij)
//	any other sum           ascending by index from +0
//
// The clamp at zero and the float64 matter: of vectors that are nearly equal float32 leaves nothing but rounding.
//
// # Vector rules
//
// n vectors, of which f = min(Faults, (n-3)/2), at least 0, may lie; b_i = steps_i / sum of steps. An order by size is
// ascending, of equals by index; a median of an even count is the lower of the two in the middle. Before a rule:
//
//	cap      if NormCap > 0: x_i = s_i u_i with s_i = c/|u_i| where |u_i| > c = NormCap * median |u|, and 1 elsewhere.
//	         Inner products become (s_i*s_j) * g_ij
//	mixing   if Mixing: x_i becomes the mean, by steps, of the n-f vectors nearest to it, itself one of them
//	         (nearest-neighbour mixing, Allouah et al. 2023)
//
// The rules then give weights a_i of the x_i, which are carried back to the u_i:
//
//	multi-krum        score_i = the sum of the max(1, n-f-2) smallest |x_i - x_j|^2 over j other than i; the n-f lowest
//	                  scores are averaged by steps (Blanchard et al. 2017, section 4, with m = n-f)
//	geometric-median  from the multi-krum average, 32 times: beta_i = b_i / max(nu, |x_i - v|), a = beta / sum of beta
//	                  with nu = 2^-20 median |x|, at least 2^-200 (smoothed Weiszfeld, Pillutla et al. 2022, section 3)
//	centered-clip     from the multi-krum average, 5 times: v += sum of b_i (x_i - v) min(1, tau/|x_i - v|), with
//	                  tau = Radius * median |x_i - v| at the start (Karimireddy et al. 2021, section 4)
//
// v is never formed: it is its weights a, and |x_i - v|^2 = max(0, (a.Ga + g_ii) - 2 (Ga)_i).
//
// # Coordinate rules
//
// trimmed-mean and median (Yin et al. 2018) sort the n values of one parameter. Every contribution counts alike, whatever
// its steps. They need every value of every contributor: of a codec that sends each contributor's own largest values most
// parameters have one contributor, and either rule would give zero.
package robust
