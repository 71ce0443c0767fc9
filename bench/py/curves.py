"""The PyTorch side of loss-curves; bench/peer.go says how the two talk. decoder.py stands before this.

Arguments: threads, then width, layers, heads, ffn, vocabulary, positions, batch. Every line names files with the initial parameters
(float32, in the order of models.Layout) and with tokens and targets of each step (int32), a learning rate and a precision. The answer is
the training loss of each step.
"""

SHAPE = Shape(*(int(x) for x in sys.argv[2:9]))
torch.set_num_threads(int(sys.argv[1]))


def read(path, dtype):
    with open(path, "rb") as f:
        return torch.frombuffer(bytearray(f.read()), dtype=dtype)


def clip(model, limit):
    """Clips to a norm with the formula of trainer: PyTorch's own adds 1e-6 to the norm."""
    grads = [p.grad for p in model.parameters()]
    norm = nn.utils.get_total_norm(grads)
    if norm > limit:
        for g in grads:
            g.mul_(limit / norm)


def train(theta, batches, lr, dtype):
    torch.set_default_dtype(dtype)
    model = Decoder(SHAPE)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(theta[: p.numel()].view(p.shape))
            theta = theta[p.numel() :]
    optimiser = adamw(model, lr)
    losses = []
    for tokens, targets in batches.view(-1, 2, SHAPE.batch, SHAPE.seq).long():
        optimiser.zero_grad(set_to_none=True)
        loss = model.loss(tokens, targets)
        loss.backward()
        clip(model, 1.0)
        optimiser.step()
        losses.append(loss.item())
    return losses


say(what="PyTorch", version=versions(), params=sum(p.numel() for p in Decoder(SHAPE).parameters()))
for line in sys.stdin:
    job = json.loads(line)
    dtype = {"float32": torch.float32, "float64": torch.float64}[job["precision"]]
    say(losses=train(read(job["theta"], torch.float32), read(job["batches"], torch.int32), job["lr"], dtype))
