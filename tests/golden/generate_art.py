"""ART 1.7.2's AutoPGD for a golden folder: one step size, one highest loss and one best point for each batch.

Written after `auto_projected_gradient_descent.py` of that release, in PyTorch alone. On the repository's own network, images and
noise it gives the repository's own traces.
"""

import math

import torch
from torch.nn import functional as F

BATCH, RESTARTS, ITERATIONS = 5, 2, (10, 20, 50)


def size(norm, change):
    flat = change.flatten(1)
    length = flat.abs().amax(1) if norm == "Linf" else flat.norm(dim=1)
    return length.view(-1, 1, 1, 1)


def inside(norm, x, z, epsilon):
    change = z.clamp(0, 1) - x
    if norm == "Linf":
        return x + change.clamp(-epsilon, epsilon)
    return x + change * (epsilon / (size(norm, change) + 1e-7)).clamp(max=1)


def decisions(iterations):
    shares = [0, 0.22]
    while (following := shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06)) <= 1:
        shares.append(following)
    return [math.ceil(share * iterations) for share in shares]


class Batch:
    """All iterations of one batch."""

    def __init__(self, victim, rows, start, norm, epsilon, iterations):
        self.victim, self.x, self.labels, self.norm = victim, victim.x[rows], victim.labels[rows], norm
        self.eta, self.epsilon, self.w = 2 * epsilon, epsilon, decisions(iterations)
        told = {"batch": None, "n": None, "eta": [self.eta], "f": [None, None], "f_max": [None], "count": [0]}
        z = before = start
        highest, gradient = self.look(z)
        told["f0"], eta_then, highest_then = highest, self.eta, highest
        best, before_best, best_gradient, count = z, self.x, gradient, 0
        for k in range(iterations):
            step = inside(norm, self.x, z + self.eta * self.direction(gradient), epsilon)
            # The guard in the projection makes a second one of the same point shrink it a little more.
            mixed = inside(norm, self.x, z + 0.75 * (step - z) + 0.25 * (z - before), epsilon) if k else step
            before, z = z, mixed
            loss, gradient = self.look(z)
            if k and loss == 0:
                break
            if loss > highest or k == 0 and loss == highest:
                best, before_best, best_gradient, highest, count = z, before if k else self.x, gradient, loss, count + 1
            if k and k in self.w:
                window = k - self.w[self.w.index(k) - 1]
                if count < 0.75 * window or eta_then == self.eta and highest_then == highest:
                    self.eta, z, before, gradient = self.eta / 2, best, before_best, best_gradient
                count, eta_then, highest_then = 0, self.eta, highest
            told["f1" if k == 0 else "f"] = loss if k == 0 else told["f"] + [loss]
            told["eta"].append(self.eta)
            told["f_max"].append(highest)
            told["count"].append(count)
        self.last, self.told = z, told

    def look(self, z):
        x = z.detach().requires_grad_()
        losses = F.cross_entropy(self.victim.net(x)[0], self.labels, reduction="none")
        return float(losses.detach().mean()), torch.autograd.grad(losses.sum(), x)[0]

    def direction(self, gradient):
        return gradient.sign() if self.norm == "Linf" else gradient / (size(self.norm, gradient) + 1e-7)


def drawn(victim, norm, epsilon, restart):
    v = torch.from_numpy(victim.generator.sym(f"attack.start.r{restart}", tuple(victim.x.shape)))
    return (epsilon * (v / size(norm, v) * 0.9 if norm == "L2" else v)).float()


def attack(victim, norm, tag, iterations):
    epsilon, stored, blocks = victim.epsilons[norm][tag], victim.x.clone(), []
    for restart in range(RESTARTS):
        left = victim.right(stored).nonzero().flatten()
        if not len(left):
            break
        noise = drawn(victim, norm, epsilon, restart)
        for number, rows in enumerate(left.split(BATCH)):
            start = inside(norm, victim.x[rows], stored[rows] + noise[rows].to(victim.x.dtype), epsilon)
            batch = Batch(victim, rows, start, norm, epsilon, iterations)
            with torch.no_grad():
                wrong = victim.net(batch.last)[0].argmax(1) != victim.labels[rows]
            stored[rows] = torch.where(wrong.view(-1, 1, 1, 1), batch.last, start)
            blocks.append(batch.told | {"batch": number, "n": len(left)})
    return stored, blocks


def make(folder, victims):
    """`victims` by number type: of the one network that ART attacks."""
    out, told = {}, {}
    for norm, tag, iterations in ((n, t, i) for n in ("Linf", "L2") for t in ("small", "big") for i in ITERATIONS):
        prefix = f"{norm}.{tag}.N{iterations}"
        for suffix, victim in victims.items():
            points, blocks = attack(victim, norm, tag, iterations)
            robust = victim.right(points)
            told[f"{prefix}.{suffix}"] = {
                "eps": victim.epsilons[norm][tag], "blocks": blocks, "robust": robust.tolist()
            }
            out[f"{prefix}.robust.{suffix}"] = robust
            out[f"{prefix}.adv_dist.{suffix}"] = size(norm, points - victim.x).flatten().double()
            out[f"{prefix}.adv_probe.{suffix}"] = victim.probes(points)
            if suffix == "f64":
                out[f"{prefix}.adv_img0_5"] = points[[0, 5]].float()
    folder.save("art172_dnn.safetensors", out)
    folder.save_json("art172_dnn.json", told)


def checkpoints(counts):
    """The rounded shares, and the loop indices at which something is decided."""
    lists = {iterations: decisions(iterations) for iterations in counts}
    taken = {n: sorted({k for k in w if 0 < k < n}) for n, w in lists.items()}
    return {str(n): {"w": w, "decision_at_loop_index": taken[n]} for n, w in lists.items()}
