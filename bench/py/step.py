"""The PyTorch side of step-vs-pytorch and step-memory; bench/peer.go says how the two talk. decoder.py stands before this.

Arguments: threads, "eager" or "compiled", then width, layers, heads, ffn, vocabulary, positions, batch. Each step is forward,
backward, clipping to norm 1 and AdamW, in float32. Compiled is the faster of torch.compile's default and max-autotune modes. An answer
also has the resident memory of the process: the peak so far, and what it was with everything imported and no model made. The
question "product" is answered with the time of one matrix product.
"""

threads, MODE, SHAPE = int(sys.argv[1]), sys.argv[2], Shape(*(int(x) for x in sys.argv[3:10]))


def resident(key):
    """Bytes of resident memory now (VmRSS) or at most so far (VmHWM), 0 where the system does not say."""
    try:
        with open("/proc/self/status") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith(key))
    except (OSError, StopIteration):
        return 0


torch.set_num_threads(threads)
torch.manual_seed(1)
idle = resident("VmRSS")
model = Decoder(SHAPE)
for p in model.parameters():
    if p.dim() > 1:
        nn.init.normal_(p, std=0.02)
optimiser = adamw(model, 3e-4)


def step(loss_of):
    text = torch.randint(SHAPE.vocab, (SHAPE.batch, SHAPE.seq + 1))
    optimiser.zero_grad(set_to_none=True)
    loss = loss_of(text[:, :-1], text[:, 1:])
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return loss.item()


def seconds_of(loss_of, steps):
    start = time.perf_counter()
    for _ in range(steps):
        step(loss_of)
    return time.perf_counter() - start


def fastest():
    """Returns the function of the loss that trains fastest, and its name. A mode that does not compile here is left out."""
    best = seconds, loss_of, name = float("inf"), None, "nothing compiles"
    for mode in "default", "max-autotune":
        torch._dynamo.reset()
        compiled = torch.compile(model.loss, mode=mode)
        try:
            seconds_of(compiled, 2)
            seconds = min(seconds_of(compiled, 1) for _ in range(3))
        except Exception as err:  # whatever a compiler can fail with
            print(f"mode {mode}: {err}", file=sys.stderr)
            continue
        if seconds < best[0]:
            best = seconds, compiled, "compiled, " + mode
    return best[1:]


loss_of, name = (model.loss, "eager") if MODE == "eager" else fastest()
if loss_of is None:
    say(missing="torch.compile, which needs a C++ compiler")
    sys.exit()
say(
    what="PyTorch " + MODE,
    version=f"{versions()}, {name}, scaled_dot_product_attention, fused AdamW",
    params=sum(p.numel() for p in model.parameters()),
)


def product_seconds():
    """The least time of some products of matrices of 1024: what the library under PyTorch makes of this processor."""
    a, b, best = torch.rand(1024, 1024), torch.rand(1024, 1024), float("inf")
    for _ in range(30):
        start = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - start)
    return best


for line in sys.stdin:
    if line.strip() == "product":
        say(seconds=product_seconds())
        continue
    say(seconds=seconds_of(loss_of, int(line)), idle=idle, peak=resident("VmHWM"))
