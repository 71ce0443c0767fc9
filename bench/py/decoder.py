"""The decoder of speed.Models in PyTorch, as its users write it: put in front of the scripts that train it.

RMSNorm, RoPE, SwiGLU, no biases, untied head; q, k and v are one matrix, and so are gate and up. Parameters are in the order of
models.Layout. PyTorch's own fused kernels are used where it has them.
"""

import collections
import json
import sys
import time


def say(**answer):
    print(json.dumps(answer), flush=True)


try:
    import torch
    from torch import nn
    from torch.nn import functional as F
except ImportError:
    say(missing="torch")
    sys.exit()

Shape = collections.namedtuple("Shape", "dim layers heads ffn vocab seq batch")


class RMSNorm(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(dim))

    def forward(self, x):  # (B,T,D)
        return F.rms_norm(x, self.gain.shape, self.gain, 1e-5)


def rotate(x, cos, sin):  # (B,H,T,HEAD)
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class Block(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.heads = s.heads
        self.norm1 = RMSNorm(s.dim)
        self.qkv = nn.Linear(s.dim, 3 * s.dim, bias=False)
        self.out = nn.Linear(s.dim, s.dim, bias=False)
        self.norm2 = RMSNorm(s.dim)
        self.gate_up = nn.Linear(s.dim, 2 * s.ffn, bias=False)
        self.down = nn.Linear(s.ffn, s.dim, bias=False)

    def forward(self, x, cos, sin):  # (B,T,D)
        b, t, d = x.shape
        q, k, v = (y.view(b, t, self.heads, -1).transpose(1, 2) for y in self.qkv(self.norm1(x)).chunk(3, dim=-1))
        o = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True)
        x = x + self.out(o.transpose(1, 2).reshape(b, t, d))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class Decoder(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.embed = nn.Embedding(s.vocab, s.dim)
        self.blocks = nn.ModuleList(Block(s) for _ in range(s.layers))
        self.norm = RMSNorm(s.dim)
        self.head = nn.Linear(s.dim, s.vocab, bias=False)
        half = s.dim // s.heads // 2
        angle = torch.outer(torch.arange(s.seq, dtype=torch.float64), 10000.0 ** -(torch.arange(half, dtype=torch.float64) / half))
        dtype = self.head.weight.dtype  # the tables are rounded once, from float64
        self.register_buffer("cos", angle.cos().to(dtype))
        self.register_buffer("sin", angle.sin().to(dtype))

    def forward(self, tokens):  # (B,T)
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        return self.head(self.norm(x))

    def loss(self, tokens, targets):
        logits = self(tokens)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))


def adamw(model, lr):
    """Decay on matrices only, as trainer does."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    gains = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": gains, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), eps=1e-8, fused=True)


def versions():
    blas = "MKL" if torch.backends.mkl.is_available() else "no MKL"
    return f"torch {torch.__version__}, {blas}, {torch.backends.cpu.get_cpu_capability()}, Python {sys.version.split()[0]}"
