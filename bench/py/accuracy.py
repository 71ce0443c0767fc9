"""The PyTorch side of kernel-accuracy; bench/peer.go says how the two talk.

Every line names a kernel, a file of raw arrays and where each lies in it: the inputs, and the outputs of the engine under test. The
kernel is computed here in float32 and in float64, from the same inputs. The answer is the error of either float32 against float64,
as [root of the mean square, largest], in units of 2^-24: relative to the root mean square of the float64 output, or to
each of its elements where the line says so. Argument: threads.
"""

import json
import math
import sys


def say(**answer):
    print(json.dumps(answer), flush=True)


try:
    import torch
    from torch.nn import functional as F
except ImportError:
    say(missing="torch")
    sys.exit()


def gemm(x, args):
    a = x["a"].T if args["transA"] else x["a"]
    b = x["b"].T if args["transB"] else x["b"]
    return {"c": a @ b}


def back(y, dy, **wrt):
    """Returns the gradients of y with respect to what is named."""
    return dict(zip(("d" + name for name in wrt), torch.autograd.grad(y, list(wrt.values()), dy)))


def rmsnorm(x, args):
    a, gain = x["x"].requires_grad_(), x["gain"].requires_grad_()
    y = F.rms_norm(a, gain.shape, gain, args["eps"])
    return {"y": y, **back(y, x["dy"], x=a, gain=gain)}


def layernorm(x, args):
    a, gain, bias = (x[n].requires_grad_() for n in ("x", "gain", "bias"))
    y = F.layer_norm(a, gain.shape, gain, bias, args["eps"])
    return {"y": y, **back(y, x["dy"], x=a, gain=gain, bias=bias)}


def gelu(x, args):
    a = x["x"].requires_grad_()
    y = F.gelu(a, approximate="tanh")
    return {"y": y, **back(y, x["dy"], x=a)}


def conv(x, args):
    a, w = x["x"].requires_grad_(), x["w"].requires_grad_()  # images (batch, height, width, channels)
    y = F.conv2d(a.permute(0, 3, 1, 2), w.permute(0, 3, 1, 2), stride=args["stride"], padding=args["pad"]).permute(0, 2, 3, 1)
    return {"y": y, **back(y, x["dy"], x=a, w=w)}


def swiglu(x, args):
    gate, up = x["gate"].requires_grad_(), x["up"].requires_grad_()
    y = F.silu(gate) * up
    return {"y": y, **back(y, x["dy"], gate=gate, up=up)}


def attention(x, args):
    q, k, v = (x[n].requires_grad_() for n in "qkv")  # (batch, seq, heads, head)
    o = F.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, k, v)), is_causal=True).transpose(1, 2)
    return {"o": o, **back(o, x["do"], q=q, k=k, v=v)}


def crossentropy(x, args):
    logits = x["logits"].requires_grad_()
    losses = F.cross_entropy(logits, x["targets"], reduction="none")
    mean = F.cross_entropy(logits, x["targets"])
    return {"losses": losses, **back(mean, None, logits=logits)}


def embedding(x, args):
    table = torch.zeros(args["vocab"], x["dy"].shape[1], dtype=x["dy"].dtype, requires_grad=True)
    return back(F.embedding(x["ids"], table), x["dy"], table=table)


def adamw(x, args):
    p = torch.nn.Parameter(x["p"])
    p.grad = x["g"]
    optimiser = torch.optim.AdamW([p], lr=args["lr"], betas=(args["beta1"], args["beta2"]), eps=args["eps"],
                                  weight_decay=args["decay"], fused=True)
    optimiser.state[p] = {"step": torch.tensor(float(args["step"] - 1)), "exp_avg": x["m"], "exp_avg_sq": x["v"]}
    optimiser.step()
    return {"p": p, "m": x["m"], "v": x["v"]}


def elementwise(f):
    return lambda x, args: {"y": f(x["x"])}


KERNELS = {f.__name__: f for f in (gemm, rmsnorm, layernorm, swiglu, gelu, conv, attention, crossentropy, embedding, adamw)}
KERNELS |= {f.__name__: elementwise(f) for f in (torch.exp, torch.log, torch.tanh, torch.sigmoid, F.silu)}
TYPES = {"f4": torch.float32, "i4": torch.int32}


def load(path, arrays):
    """Returns the arrays of a file, which lie one after the other."""
    with open(path, "rb") as f:
        return {a["name"]: torch.frombuffer(bytearray(f.read(4 * math.prod(a["shape"]))), dtype=TYPES[a["type"]]).view(a["shape"]) for a in arrays}


def compute(kernel, arrays, args, dtype):
    given = {name: t.to(dtype, copy=True) if t.dtype == torch.float32 else t.long() for name, t in arrays.items()}
    return {name: t.detach().double() for name, t in KERNELS[kernel](given, args).items()}


def error(got, want, relative):
    scale = want.abs() if relative else want.square().mean().sqrt()
    off = (got - want) / scale * 2.0**24
    return [off.square().mean().sqrt().item(), off.abs().max().item()]


torch.set_num_threads(int(sys.argv[1]))
say(what="PyTorch", version=f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, Python {sys.version.split()[0]}")
for line in sys.stdin:
    job = json.loads(line)
    arrays = load(job["file"], job["in"] + job["out"])
    inputs = {a["name"]: arrays[a["name"]] for a in job["in"]}
    theirs = compute(job["kernel"], inputs, job["args"], torch.float32)
    exact = compute(job["kernel"], inputs, job["args"], torch.float64)
    answer = []
    for a in job["out"]:
        name = a["name"].removeprefix("our ")
        want = exact[name]
        answer.append({"name": name, "ours": error(arrays[a["name"]].double(), want, job["relative"]),
                       "theirs": error(theirs[name], want, job["relative"])})
    say(errors=answer)
