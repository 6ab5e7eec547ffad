"""The gradient attacks of AutoAttack in PyTorch, after fra31/auto-attack: APGD-CE, then APGD-T on what it left.

Croce & Hein 2020, Algorithm 1: step sizes and bookkeeping per image, all iterations for every image of a run, one restart; of the
targeted part a run for each of the nine classes of the highest natural logits, each on the images that are left. As the
reference, and unlike ours, a run computes the gradient of its last iterate, too.
"""

import json
import math

import torch
import torch.nn.functional as F


def read(path):
    """The tensors of a safetensors file; f32 and i64 alone."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header, body = json.loads(file.read(length)), bytearray(file.read())
    header.pop("__metadata__", None)
    types = {"F32": torch.float32, "I64": torch.int64}

    def tensor(entry):
        count, offset = math.prod(entry["shape"]), entry["data_offsets"][0]
        numbers = torch.frombuffer(body, dtype=types[entry["dtype"]], count=count, offset=offset)
        return numbers.reshape(entry["shape"])

    return {name: tensor(entry) for name, entry in header.items()}


def load(net, tensors):
    """Fills the network's state, whose tensors come in the same order under other names."""
    own = [(key, value) for key, value in net.state_dict().items() if key not in ("0.mean", "0.std")]
    given = [tensors[name] for name in sorted(tensors) if name.startswith("state.")]
    if [list(value.shape) for _, value in own] != [list(value.shape) for value in given]:
        raise ValueError("the network's tensors have other shapes")
    net.load_state_dict({key: value for (key, _), value in zip(own, given)}, strict=False)


def dlr(targets):
    def loss(logits, labels):
        rows, high = torch.arange(len(labels)), logits.sort(dim=1)[0]
        margin = logits[rows, labels] - logits[rows, targets]
        return -margin / (high[:, -1] - 0.5 * (high[:, -3] + high[:, -4]) + 1e-12)

    return loss


def cross_entropy(logits, labels):
    return F.cross_entropy(logits, labels, reduction="none")


def gradient_at(net, x, labels, loss):
    x = x.detach().requires_grad_()
    logits = net(x)
    losses = loss(logits, labels)
    (gradient,) = torch.autograd.grad(losses.sum(), x)
    return logits.detach().argmax(1) != labels, losses.detach(), gradient


def inside(x, z, epsilon):
    return torch.clamp(torch.min(torch.max(z, x - epsilon), x + epsilon), 0.0, 1.0)


def oscillates(history, last, window):
    rising = torch.zeros(history.shape[1])
    for back in range(window):
        rising += history[last - back] > history[last - back - 1]
    return rising <= window * 0.75


def single_run(net, x, labels, loss, epsilon, iterations):
    """Whether each image is misclassified at any iterate (l-infinity)."""
    noise = 2 * torch.rand_like(x) - 1
    noise /= noise.flatten(1).abs().amax(1).view(-1, 1, 1, 1) + 1e-12
    z = (x + epsilon * noise).clamp(0, 1)
    wrong, losses, gradient = gradient_at(net, z, labels, loss)
    broken, highest, before = wrong.clone(), losses.clone(), z.clone()
    best, best_gradient = z.clone(), gradient.clone()
    step = torch.full((len(x), 1, 1, 1), 2.0 * epsilon)
    window, shortest, shortening = (max(int(share * iterations), 1) for share in (0.22, 0.06, 0.03))
    history, since = torch.zeros(iterations, len(x)), 0
    last_check, halved = highest.clone(), torch.ones(len(x), dtype=torch.bool)
    for i in range(iterations):
        with torch.no_grad():
            momentum, back, before = 0.75 if i else 1.0, z - before, z.clone()
            plain = inside(x, z + step * gradient.sign(), epsilon)
            z = inside(x, z + (plain - z) * momentum + back * (1 - momentum), epsilon)
        wrong, losses, gradient = gradient_at(net, z, labels, loss)
        broken |= wrong
        history[i] = losses
        better = losses > highest
        best[better], best_gradient[better], highest[better] = z[better], gradient[better], losses[better]
        since += 1
        if since == window:
            stuck = oscillates(history, i, window) | (~halved & (last_check >= highest))
            halved, last_check = stuck, highest.clone()
            step[stuck] /= 2.0
            z, gradient = z.clone(), gradient.clone()
            z[stuck], gradient[stuck] = best[stuck], best_gradient[stuck]
            window, since = max(window - shortening, shortest), 0
    return broken


def attack(net, x, labels, epsilon, iterations, batch):
    """How many images neither attack breaks."""
    with torch.no_grad():
        ranking = torch.cat([net(part) for part in x.split(batch)]).argsort(dim=1, descending=True)
    left = (ranking[:, 0] == labels).nonzero().flatten()
    for rank in range(min(10, ranking.shape[1])):
        broken = []
        for rows in left.split(batch):
            loss = dlr(ranking[rows, rank]) if rank else cross_entropy
            broken.append(single_run(net, x[rows], labels[rows], loss, epsilon, iterations))
        if broken:
            left = left[~torch.cat(broken)]
    return len(left)


def work(net, path, batch):
    """A function that attacks the images of the file once, with its weights; gives how many images are left."""
    tensors = read(path)
    load(net, tensors)
    net.eval().requires_grad_(False)
    epsilon, iterations = float(tensors["epsilon"]), int(tensors["iterations"])
    pixels, labels = tensors["pixels"], tensors["labels"]

    def step(forward, layout):
        return attack(forward, pixels.to(memory_format=layout), labels, epsilon, iterations, batch)

    return step
