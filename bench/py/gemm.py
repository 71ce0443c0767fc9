"""The numpy side of gemm-vs-openblas; bench/peer.go says how the two talk."""

import ctypes
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


def kernel():
    """Returns the name of the processor whose kernels the loaded OpenBLAS chose."""
    with open("/proc/self/maps") as f:
        paths = {line.split()[-1] for line in f if "openblas" in line}
    for path in paths:
        library = ctypes.CDLL(path)
        for name in ("scipy_openblas_get_corename64_", "scipy_openblas_get_corename", "openblas_get_corename64_", "openblas_get_corename"):
            if hasattr(library, name):
                corename = getattr(library, name)
                corename.restype = ctypes.c_char_p
                return corename().decode()
    raise OSError("no OpenBLAS is loaded")


try:
    version += f", kernels for {kernel()}"
except OSError:  # not on Linux
    version += ", kernels unknown"
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
    for window in (0.05, 0.05):  # in the first one threads come to processors of their own
        calls, start, spent = 0, time.perf_counter(), 0.0
        while spent < window:
            np.matmul(a, b, out=c)
            calls += 1
            spent = time.perf_counter() - start
    say(seconds=spent / calls)
