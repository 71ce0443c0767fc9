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
    n = int(line)
    if n not in matrices:
        rng = np.random.default_rng(1)
        a, b = (rng.standard_normal((n, n), dtype=np.float32) for _ in range(2))
        matrices[n] = a, b, np.empty((n, n), np.float32)
    a, b, c = matrices[n]
    calls, start, spent = 0, time.perf_counter(), 0.0
    while spent < 0.05:
        np.matmul(a, b, out=c)
        calls += 1
        spent = time.perf_counter() - start
    say(seconds=spent / calls)
