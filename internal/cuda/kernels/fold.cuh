// docs/numerics.md, section 2. A column fold is a loop in the kernel that needs it; row folds are here.
#pragma once
#include "numerics.cuh"

enum { foldBlock = 128, rowBlock = 4096, lanes = 16 };

// tree joins sixteen lanes: 8 pairs, 4, 2, 1.
DEVICE float tree(float *l) {
	for (int i = 0; i < 8; i++) l[i] = l[i] + l[i + 8];
	for (int i = 0; i < 4; i++) l[i] = l[i] + l[i + 4];
	return (l[0] + l[2]) + (l[1] + l[3]);
}

// alone folds a row of at most rowBlock elements in one thread.
template <typename Term>
DEVICE float alone(u32 n, Term term) {
	float l[lanes] = {};
	for (u32 at = 0; at < n; at += lanes) {
#pragma unroll
		for (u32 i = 0; i < lanes; i++)
			if (at + i < n) l[i] = term(at + i, l[i]);
	}
	return tree(l);
}

// Rows are folded by sixteen threads each, teams of a block of threads at a time. All threads of the block must call fold with
// one n, at most maxRow. The result is every thread's of the team.
enum { teams = 8, teamThreads = teams * lanes, maxBlocks = 128, maxRow = maxBlocks * rowBlock };

struct TeamMemory {
	float lane[teams][lanes];
	float block[teams][maxBlocks];
};

template <typename Term>
DEVICE float teamFold(TeamMemory &m, u32 n, Term term) {
	u32 team = threadX / lanes, lane = threadX % lanes;
	u32 blocks = (n + rowBlock - 1) / rowBlock;
	for (u32 b = 0; b < blocks; b++) {
		float acc = 0.0f;
		u32 end = least((b + 1) * rowBlock, n);
		for (u32 i = b * rowBlock + lane; i < end; i += lanes) acc = term(i, acc);
		m.lane[team][lane] = acc;
		__syncthreads();
		if (lane == 0) m.block[team][b] = tree(m.lane[team]);
		__syncthreads();
	}
	if (lane == 0 && blocks != 1) { // none gives +0
		const float *block = m.block[team];
		m.block[team][0] = alone(blocks, [block](u32 i, float acc) { return acc + block[i]; });
	}
	__syncthreads();
	float all = m.block[team][0];
	__syncthreads();
	return all;
}
