"""The PyTorch side of step-vs-pytorch; bench/peer.go says how the two talk.

Arguments: threads, "eager" or "compiled", then width, layers, heads, ffn, vocabulary, positions, batch. A decoder with
RMSNorm, RoPE, SwiGLU, no biases, untied head. Each step is forward, backward, clipping to norm 1 and AdamW, in float32, with PyTorch's
own fused kernels where it has them.
"""

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

MODE = sys.argv[2]
DIM, LAYERS, HEADS, FFN, VOCAB, SEQ, BATCH = (int(x) for x in sys.argv[3:10])
HEAD = DIM // HEADS


class RMSNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(DIM))

    def forward(self, x):  # (B,T,D)
        return F.rms_norm(x, (DIM,), self.gain, 1e-5)


def rotate(x, cos, sin):  # (B,H,T,HEAD)
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = RMSNorm(), RMSNorm()
        self.qkv = nn.Linear(DIM, 3 * DIM, bias=False)
        self.out = nn.Linear(DIM, DIM, bias=False)
        self.gate_up = nn.Linear(DIM, 2 * FFN, bias=False)
        self.down = nn.Linear(FFN, DIM, bias=False)

    def forward(self, x, cos, sin):  # (B,T,D)
        b, t, _ = x.shape
        q, k, v = (y.view(b, t, HEADS, HEAD).transpose(1, 2) for y in self.qkv(self.norm1(x)).chunk(3, dim=-1))
        o = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True)
        x = x + self.out(o.transpose(1, 2).reshape(b, t, DIM))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, DIM)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = RMSNorm()
        self.head = nn.Linear(DIM, VOCAB, bias=False)
        angle = torch.outer(torch.arange(SEQ), 10000.0 ** (-2 * torch.arange(HEAD // 2) / HEAD))
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())

    def forward(self, tokens):  # (B,T)
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        return self.head(self.norm(x))


torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(1)
model = Decoder()
for p in model.parameters():
    if p.dim() > 1:
        nn.init.normal_(p, std=0.02)
optimiser = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)


def loss_of(text):
    return F.cross_entropy(model(text[:, :-1]).reshape(-1, VOCAB), text[:, 1:].reshape(-1))


if MODE == "compiled":
    loss_of = torch.compile(loss_of)


def step():
    text = torch.randint(VOCAB, (BATCH, SEQ + 1))
    optimiser.zero_grad(set_to_none=True)
    loss = loss_of(text)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return loss.item()


say(
    what="PyTorch " + MODE,
    version=f"torch {torch.__version__}, {MODE}, fused AdamW, Python {sys.version.split()[0]}",
    params=sum(p.numel() for p in model.parameters()),
)
for line in sys.stdin:
    steps = int(line)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    say(seconds=time.perf_counter() - start)
