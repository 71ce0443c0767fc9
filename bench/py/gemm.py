"""The numpy side of gemm-vs-openblas; bench/peer.go says how the two talk."""

import json
import sys
import time


def say(**answer):
    print(json.dumps(answer), flush=True)


try:
    import numpy as np
except ImportError:
    say(missing="numpy")
    sys.exit()

try:
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    version = f"{blas['name']} {blas['version']}"
except (KeyError, TypeError):  # numpy before 1.25
    version = "its BLAS"
if "openblas" not in version.lower():
    say(missing=f"numpy with OpenBLAS (this one has {version})")
    sys.exit()
say(what="OpenBLAS", version=f"numpy {np.__version__} with {version}, Python {sys.version.split()[0]}")

matrices = {}
for line in sys.stdin:
    if line not in matrices:
        m, n, k = (int(x) for x in line.split()[:3])
        trans_a, trans_b = (x == "true" for x in line.split()[3:])
        rng = np.random.default_rng(1)
        a = rng.standard_normal((k, m) if trans_a else (m, k), dtype=np.float32)
        b = rng.standard_normal((n, k) if trans_b else (k, n), dtype=np.float32)
        matrices.clear()
        matrices[line] = a.T if trans_a else a, b.T if trans_b else b, np.empty((m, n), np.float32)
    a, b, c = matrices[line]
    calls, start, spent = 0, time.perf_counter(), 0.0
    while spent < 0.05:
        np.matmul(a, b, out=c)
        calls += 1
        spent = time.perf_counter() - start
    say(seconds=spent / calls)
