"""The attack files of a golden folder: attacked networks, PGD in three dialects, AutoPGD in the reference form.

Written after the algorithms of MadryLab/robustness, locuslab/fast_adversarial and fra31/auto-attack (Croce & Hein 2020,
Algorithm 1), in PyTorch alone. On the repository's own networks, images and starting points the AutoPGD here gives the
repository's own traces, to the last bit on the machine where that was tried.
"""

import copy

import numpy as np
import torch
import torch.nn.functional as F

import generate_art

IMAGES = 12
BIAS = {"dnn": "classifier.bias", "vgg11": "classifier.bias"}
ITERATIONS = 20
# Losses and iterations of the traces. A VGG11 in f64 takes minutes, and shows with few what the DNN shows with more.
TRACES = {
    "dnn": (("ce", 20), ("dlr", 20), ("dlr_t2", 20), ("ce", 50), ("ce", 1)),
    "vgg11": (("ce", 20), ("dlr", 20)),
}


# Norms, radii and kinds of ART's PGD.
ART_CASES = (
    ("Linf", "small", "restarts"), ("L2", "small", "restarts"), ("L2", "big", "restarts"),
    ("Linf", "small", "targeted"), ("L2", "big", "targeted"),
)


def lengths(change):
    return change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


def sizes(norm, change):
    change = change.flatten(1)
    return change.abs().amax(1) if norm == "Linf" else change.norm(dim=1)


def dlr(logits, labels):
    high, order = logits.sort(dim=1)
    hit = (order[:, -1] == labels).to(logits.dtype)
    other = high[:, -2] * hit + high[:, -1] * (1 - hit)
    own = logits[torch.arange(len(labels)), labels]
    return -(own - other) / (high[:, -1] - high[:, -3] + 1e-12)


def targeted_dlr(targets):
    def loss(logits, labels):
        n, (high, _) = torch.arange(len(labels)), logits.sort(dim=1)
        margin = logits[n, labels] - logits[n, targets]
        return -margin / (high[:, -1] - 0.5 * (high[:, -3] + high[:, -4]) + 1e-12)

    return loss


def cross_entropy(logits, labels):
    return F.cross_entropy(logits, labels, reduction="none")


class Victim:
    """An attacked network, its images and its starting points."""

    def __init__(self, generator, net, images, labels, epsilons, dtype):
        self.generator, self.net, self.labels, self.epsilons = generator, net.eval(), torch.from_numpy(labels), epsilons
        self.single = torch.from_numpy(images.astype(np.float32) / np.float32(255))
        self.x = self.single.to(dtype)
        with torch.no_grad():
            self.logits = self.net(self.x)[0]

    def change(self, norm, tag, restart):
        v = torch.from_numpy(self.generator.sym(f"attack.start.r{restart}", tuple(self.x.shape)))
        v = v / lengths(v) if norm == "L2" else v
        return (self.epsilons[norm][tag] * v).float()

    def start(self, norm, tag, restart):
        return (self.single + self.change(norm, tag, restart)).clamp(0, 1).to(self.x.dtype)

    def ranked(self, rank):
        return self.logits.sort(dim=1)[1][:, -rank]

    def differentiate(self, x, labels, loss):
        x = x.detach().requires_grad_()
        logits = self.net(x)[0]
        losses = loss(logits, labels)
        (gradient,) = torch.autograd.grad(losses.sum(), x)
        return logits.detach(), losses.detach(), gradient

    def probes(self, points):
        change = (points - self.x).double()
        return np.array([self.generator.probe(f"x{i}", c) for i, c in enumerate(change)])

    def right(self, points):
        with torch.no_grad():
            return (self.net(points)[0].argmax(1) == self.labels).to(torch.uint8)


def normalize(norm, x):
    flat = x.flatten(1)
    size = flat.abs().amax(1) if norm == "Linf" else (flat**2).sum(-1).sqrt()
    return x / (size.view(-1, 1, 1, 1) + 1e-12)


def project(norm, x, z, epsilon):
    if norm == "Linf":
        return torch.clamp(torch.min(torch.max(z, x - epsilon), x + epsilon), 0.0, 1.0)
    length = ((z - x) ** 2).flatten(1).sum(-1).sqrt().view(-1, 1, 1, 1)
    return torch.clamp(x + normalize(norm, z - x) * torch.min(torch.full_like(length, epsilon), length), 0.0, 1.0)


def oscillates(losses, last, window):
    rising = sum((losses[last - i] > losses[last - i - 1]).double() for i in range(window))
    return rising <= window * 0.75


class Run:
    """One run of AutoPGD, traced."""

    def __init__(self, victim, rows, labels, start, norm, epsilon, iterations, loss):
        x, z = victim.x[rows], start.clamp(0, 1)
        logits, losses, gradient = victim.differentiate(z, labels, loss)
        self.best, self.adversarial, best_gradient, previous = z.clone(), z.clone(), gradient.clone(), z.clone()
        highest = losses.clone()
        step = torch.full((len(z), 1, 1, 1), 2.0 * epsilon, dtype=z.dtype)
        window, shortest, shortening = (max(int(share * iterations), 1) for share in (0.22, 0.06, 0.03))
        history, since = torch.zeros(iterations, len(z), dtype=z.dtype), 0
        last_check, halved = highest.clone(), torch.ones(len(z), dtype=torch.bool)
        self.losses, self.highest, self.steps = [losses], [highest.clone()], [step.flatten().clone()]
        self.wrong, self.iterates = [logits.argmax(1) != labels], [z]
        for i in range(iterations):
            momentum, back, previous = 0.75 if i else 1.0, z - previous, z.clone()
            direction = gradient.sign() if norm == "Linf" else normalize(norm, gradient)
            w = project(norm, x, z + step * direction, epsilon)
            z = project(norm, x, z + (w - z) * momentum + back * (1 - momentum), epsilon)
            logits, losses, gradient = victim.differentiate(z, labels, loss)
            wrong = logits.argmax(1) != labels
            self.adversarial[wrong] = z[wrong]
            history[i] = losses
            better = losses > highest
            self.best[better], best_gradient[better], highest[better] = z[better], gradient[better], losses[better]
            since += 1
            if since == window:
                stale = ~halved & (last_check >= highest)
                halved = oscillates(history, i, window) | stale
                last_check = highest.clone()
                step[halved] /= 2.0
                z = torch.where(halved.view(-1, 1, 1, 1), self.best, z)
                gradient = torch.where(halved.view(-1, 1, 1, 1), best_gradient, gradient)
                window, since = max(window - shortening, shortest), 0
            self.losses.append(losses)
            self.highest.append(highest.clone())
            self.steps.append(step.flatten().clone())
            self.wrong.append(wrong)
            self.iterates.append(z)
        self.losses, self.highest, self.steps, self.wrong = map(
            torch.stack, (self.losses, self.highest, self.steps, self.wrong)
        )

    def first(self):
        return torch.where(self.wrong.any(0), self.wrong.int().argmax(0), -1)

    def last(self):
        return torch.where(self.wrong.any(0), len(self.wrong) - 1 - self.wrong.flip(0).int().argmax(0), -1)


def traced(victim, norm, tag, loss_name, iterations):
    epsilon, rows = victim.epsilons[norm][tag], torch.arange(IMAGES)
    loss = losses_named(victim, loss_name)
    return Run(victim, rows, victim.labels, victim.start(norm, tag, 0), norm, epsilon, iterations, loss)


def losses_named(victim, name):
    if name == "ce":
        return cross_entropy
    return dlr if name == "dlr" else targeted_dlr(victim.ranked(int(name.removeprefix("dlr_t"))))


def victims(folder, networks, dtypes):
    """Makes the attacked networks; gives those of each network and number type."""
    made = {}
    for name in BIAS:
        parameters = folder.entry(f"attack_net_{name}.safetensors")["parameters"]
        pool = folder.generator.img_u8(f"attack.{name}.pool", (IMAGES, 3, 32, 32))
        pixels = torch.from_numpy(pool.astype(np.float32) / np.float32(255)).double()
        exact = networks(name, torch.float64)
        with torch.no_grad():
            raw = exact.eval()(pixels)[0]
        # Random networks see one class everywhere; without their mean logits they see several.
        bias = (exact.net.classifier.bias.detach() - raw.mean(0)).float()
        out = {"bias": bias, "x_u8": pool, "pool_index": np.arange(IMAGES)}
        for suffix, dtype in dtypes.items():
            net = networks(name, dtype)
            net.net.classifier.bias.data = bias.to(dtype)
            if "labels" not in out:
                with torch.no_grad():
                    labels = net.eval()(pixels.to(dtype))[0].argmax(1).numpy()
                labels[-1] = (labels[-1] + 1) % 10
                out["labels"] = labels
            victim = Victim(folder.generator, net, pool, out["labels"], parameters["eps"], dtype)
            made[name, suffix] = victim
            out[f"logits.{suffix}"] = victim.logits
        for norm, tag, restart in ((n, t, r) for n in ("Linf", "L2") for t in ("small", "big") for r in (0, 1)):
            out[f"start.{norm}.{tag}.r{restart}"] = victim.start(norm, tag, restart).float()
        folder.save(f"attack_net_{name}.safetensors", out)
    return made


def shaken(victim):
    """The victim with weights moved by 1e-15 of themselves: what its rounding could be elsewhere."""
    net = copy.deepcopy(victim.net)
    with torch.no_grad():
        for key, weight in net.net.named_parameters():
            noise = torch.from_numpy(victim.generator.sym("shaken." + key, tuple(weight.shape)))
            weight.mul_(1 + 1e-15 * noise)
    other = copy.copy(victim)
    other.net = net
    return other


def stable_until(run, again):
    close = ((run.losses - again.losses).abs() <= 1e-8 * run.losses.abs().clamp(min=1e-300)) & (run.steps == again.steps)
    return close.int().cumprod(0).sum(0)


def apgd(folder, made):
    for name in BIAS:
        out, told = {}, {}
        for norm, tag in ((n, t) for n in ("Linf", "L2") for t in ("small", "big")):
            for loss, iterations in TRACES[name]:
                trace(made, name, (norm, tag, loss, iterations), out, told)
        folder.save(f"apgd_{name}.safetensors", out)
        folder.save_json(f"apgd_summary.{name}.json", told)


def trace(made, name, kind, out, told):
    norm, tag, loss, iterations = kind
    prefix, runs = f"{norm}.{tag}.{loss}.N{iterations}", {}
    for suffix in ("f64", "f32"):
        victim = made[name, suffix]
        run = runs[suffix] = traced(victim, *kind)
        out |= {f"{prefix}.{k}.{suffix}": v for k, v in (
            ("loss", run.losses), ("step", run.steps), ("best", run.highest), ("first_miscl", run.first()),
            ("last_miscl", run.last()), ("robust", (run.first() < 0).to(torch.uint8)),
        )}
        for what, points in (("x_best", run.best), ("x_best_adv", run.adversarial)):
            out[f"{prefix}.{what}_dist.{suffix}"] = sizes(norm, points - victim.x)
            out[f"{prefix}.{what}_probe.{suffix}"] = victim.probes(points)
            if suffix == "f64":
                out[f"{prefix}.{what}_img0_5"] = points[[0, 5]].float()
        if loss.startswith("dlr_t"):
            out[f"{prefix}.y_target.{suffix}"] = victim.ranked(int(loss.removeprefix("dlr_t")))
    exact, single = runs["f64"], runs["f32"]
    stable = stable_until(exact, traced(shaken(made[name, "f64"]), *kind))
    out[f"{prefix}.stable_until"] = stable
    out |= {f"{prefix}.iterate{k}_img0": exact.iterates[k][0] for k in range(1, min(iterations, 5) + 1)}
    error = ((single.highest[-1].double() - exact.highest[-1]) / exact.highest[-1]).abs().max()
    told[f"{name}.{prefix}"] = {
        "eps": made[name, "f64"].epsilons[norm][tag], "robust": int((exact.first() < 0).sum()), "of": IMAGES,
        "first": exact.first().tolist(), "last": exact.last().tolist(),
        "halvings": (exact.steps[0] / exact.steps[-1]).log2().round().int().tolist(),
        "stable_until": stable.tolist(), "f32_best_rel": float(error),
    }


def perturbed(folder, made):
    """Whole attacks: restarts, or one target after another, each on the images that are left."""
    out, told = {}, {}
    for norm in ("Linf", "L2"):
        for loss in ("ce", "dlr", "targeted"):
            for suffix in ("f64", "f32"):
                victim = made["dnn", suffix]
                points, robust, runs = whole(victim, norm, loss)
                told[f"{norm}.{loss}.{suffix}"] = runs
                out[f"{norm}.{loss}.robust.{suffix}"] = robust
                out[f"{norm}.{loss}.adv_dist.{suffix}"] = sizes(norm, points - victim.x)
    folder.save("apgd_perturb_dnn.safetensors", out)
    folder.save_json("apgd_perturb_dnn.json", told)


def whole(victim, norm, loss):
    epsilon, points, runs = victim.epsilons[norm]["small"], victim.x.clone(), []
    left = (victim.logits.argmax(1) == victim.labels).nonzero().flatten()
    robust = torch.zeros(IMAGES, dtype=torch.uint8)
    for number in range(9 if loss == "targeted" else 4):
        if not len(left):
            break
        targets = victim.ranked(number + 2)[left] if loss == "targeted" else None
        objective = targeted_dlr(targets) if targets is not None else losses_named(victim, loss)
        start = victim.start(norm, "small", number)[left]
        run = Run(victim, left, victim.labels[left], start, norm, epsilon, ITERATIONS, objective)
        still = run.first() < 0
        points[left[~still]] = run.adversarial[~still]
        runs.append({
            "run": number, "images": left.tolist(), "targets": None if targets is None else targets.tolist(),
            "still_robust": still.int().tolist(),
        })
        left = left[still]
    robust[left] = 1
    return points, robust, runs


def fast_pgd(victim, tag):
    """locuslab/fast_adversarial: only what is still classified correctly moves; the delta of highest loss is kept."""
    x, labels, epsilon, losses, rights = victim.x, victim.labels, victim.epsilons["Linf"][tag], [], []
    highest, kept = torch.zeros(IMAGES, dtype=x.dtype), torch.zeros_like(x)

    def seen(delta):
        logits, loss, gradient = victim.differentiate(x + delta, labels, cross_entropy)
        losses.append(loss)
        rights.append(logits.argmax(1) == labels)
        return loss, rights[-1], gradient

    for restart in range(2):
        delta = victim.change("Linf", tag, restart).to(x.dtype)
        delta = torch.max(torch.min(delta, 1 - x), 0 - x)
        for _ in range(ITERATIONS):
            _, right, gradient = seen(delta)
            if not right.any():
                break
            moved = torch.clamp(delta + epsilon / 4 * gradient.sign(), -epsilon, epsilon)
            moved = torch.max(torch.min(moved, 1 - x), 0 - x)
            delta = torch.where(right.view(-1, 1, 1, 1), moved, delta)
        loss, _, _ = seen(delta)
        won = loss >= highest
        kept, highest = torch.where(won.view(-1, 1, 1, 1), delta, kept), torch.max(loss, highest)
    return x + kept, torch.stack(losses), torch.stack(rights).to(torch.uint8)


def madry(victim, norm, tag, kind):
    """MadryLab/robustness: the iterate of highest loss, or the last one."""
    x, epsilon, losses = victim.x, victim.epsilons[norm][tag], []
    sign = -1.0 if kind == "targeted" else 1.0
    labels = (victim.labels + 3) % 10 if kind == "targeted" else victim.labels
    z = x.clone() if kind == "targeted" else victim.start(norm, tag, 0)
    best, best_loss = z.clone(), torch.full((IMAGES,), -torch.inf, dtype=x.dtype)

    def consider(z, loss):
        won = sign * loss > best_loss
        return torch.where(won.view(-1, 1, 1, 1), z, best), torch.where(won, sign * loss, best_loss)

    for _ in range(ITERATIONS):
        _, loss, gradient = victim.differentiate(z, labels, cross_entropy)
        losses.append(loss)
        best, best_loss = consider(z, loss)
        step = gradient.sign() if norm == "Linf" else gradient / (lengths(gradient) + 1e-10)
        change = z + sign * (epsilon / 4) * step - x
        change = change.clamp(-epsilon, epsilon) if norm == "Linf" else change.renorm(2, 0, epsilon)
        z = (x + change).clamp(0, 1)
    if kind == "last":
        return z, torch.stack(losses)
    losses.append(victim.differentiate(z, labels, cross_entropy)[1])
    return consider(z, losses[-1])[0], torch.stack(losses)


def art(victim, norm, tag, kind):
    """ART 1.7.2: into the box, then into the ball. The network's predictions are the labels."""
    x, epsilon, losses, predicted = victim.x, victim.epsilons[norm][tag], [], victim.ranked(1)
    sign, labels = (-1.0, (predicted + 3) % 10) if kind == "targeted" else (1.0, predicted)
    for restart in range(1 if kind == "targeted" else 2):
        z = (x + victim.change(norm, tag, restart).to(x.dtype)).clamp(0, 1)
        for _ in range(ITERATIONS):
            _, loss, gradient = victim.differentiate(z, labels, cross_entropy)
            losses.append(loss)
            step = gradient.sign() if norm == "Linf" else gradient / (lengths(gradient) + 1e-7)
            change = (z + sign * (epsilon / 4) * step).clamp(0, 1) - x
            if norm == "Linf":
                change = change.clamp(-epsilon, epsilon)
            else:
                change = change * (epsilon / (lengths(change) + 1e-7)).clamp(max=1)
            z = x + change
        with torch.no_grad():
            wrong = (victim.net(z)[0].argmax(1) != predicted).view(-1, 1, 1, 1)
        points = torch.where(wrong, z, points) if restart else z
    return points, torch.stack(losses)


def art_pgd(folder, victims):
    """`victims` by number type: of the one network that ART attacks."""
    out = {}
    for suffix, victim in victims.items():
        victim = copy.copy(victim)
        victim.labels = out["dnn.labels"] = victim.ranked(1)
        for norm, tag, kind in ART_CASES:
            points, losses = art(victim, norm, tag, kind)
            keep(out, victim, f"dnn.art.{norm}.{tag}.{kind}", suffix, norm, points, losses)
    folder.save("pgd_art_dnn.safetensors", out)


def pgd(folder, made):
    out = random_starts(folder.generator)
    for (name, suffix), victim in made.items():
        for tag in ("small", "big"):
            points, losses, rights = fast_pgd(victim, tag)
            keep(out, victim, f"{name}.fast_pgd.Linf.{tag}", suffix, "Linf", points, losses)
            out[f"{name}.fast_pgd.Linf.{tag}.correct.{suffix}"] = rights
            for norm, kind in ((n, k) for n in ("Linf", "L2") for k in ("best", "last", "targeted")):
                points, losses = madry(victim, norm, tag, kind)
                keep(out, victim, f"{name}.madry.{norm}.{tag}.{kind}", suffix, norm, points, losses)
    folder.save("pgd.safetensors", out)


def keep(out, victim, prefix, suffix, norm, points, losses):
    out |= {f"{prefix}.ce.{suffix}": losses, f"{prefix}.dist.{suffix}": sizes(norm, points - victim.x)}
    out[f"{prefix}.probe.{suffix}"] = victim.probes(points)
    if not prefix.endswith("targeted"):
        out[f"{prefix}.robust.{suffix}"] = victim.right(points)
    if suffix == "f64":
        out[f"{prefix}.adv_img0_5"] = points[[0, 5]].float()


def random_starts(g):
    x, shape = torch.from_numpy(g.u01("rs.x", (3, 3, 8, 8))), (3, 3, 8, 8)
    uniform, normal = torch.from_numpy(g.u01("rs.r", shape)), torch.from_numpy(g.sym("rs.r", shape))
    return {
        "random_perturb.LinfStep": (x + 2 * (uniform - 0.5) * 0.3).clamp(0, 1),
        "random_perturb.L2Step": (x + 0.3 * normal / lengths(normal)).clamp(0, 1),
    }


def projections(folder):
    """Into balls and box, as MadryLab projects and as ART does."""
    g, out = folder.generator, {}
    for size, shape in (("8", (9, 2, 2, 2)), ("300", (6, 3, 10, 10))):
        x = torch.from_numpy(g.u01(f"proj.x{size}", shape))
        z = x + 0.7 * torch.from_numpy(g.sym(f"proj.z{size}", shape))
        out |= {f"x{size}": x, f"z{size}": z}
        for epsilon in (0.1, 0.5):
            name, inside = f"d{size}.eps{epsilon}", z.clamp(0, 1) - x
            out[f"madry_linf.{name}"] = (x + (z - x).clamp(-epsilon, epsilon)).clamp(0, 1)
            out[f"madry_l2.{name}"] = (x + (z - x).renorm(2, 0, epsilon)).clamp(0, 1)
            out[f"art_linf.{name}"] = x + inside.sign() * inside.abs().clamp(max=epsilon)
            out[f"art_l2.{name}"] = x + inside * (epsilon / (lengths(inside) + 1e-7)).clamp(max=1)
            sums = inside.abs().sum((1, 2, 3), keepdim=True)
            out[f"art_l1.{name}"] = x + inside * (epsilon / (sums + 1e-7)).clamp(max=1)
    folder.save("projections.safetensors", out)


def checkpoints(folder):
    """When AutoPGD decides on step sizes."""
    told = {}
    for iterations in (1, 2, 3, 5, 10, 20, 40, 50, 100):
        window, shortest, shortening = (max(int(share * iterations), 1) for share in (0.22, 0.06, 0.03))
        after, windows, done = [], [], window
        while done <= iterations:
            after.append(done)
            windows.append(window)
            window = max(window - shortening, shortest)
            done += window
        told[str(iterations)] = {"after_step": after, "window": windows}
    cases = [
        {"case": case, "j": j, "k": k, "reduce": oscillates(losses(folder.generator, case), j, k).int().tolist()}
        for case in range(4) for j, k in ((3, 4), (7, 3), (11, 6), (2, 3))
    ]
    art = generate_art.checkpoints((5, 10, 20, 40, 50, 100))
    content = {"fra31": told, "art_1_7_2": art, "check_oscillation": {"cases": cases}}
    folder.save_json("apgd_checkpoints.json", content)


def losses(g, case):
    slope = 0.3 * torch.arange(12.0, dtype=torch.float64).view(-1, 1) if case % 2 else 0.0
    return torch.from_numpy(g.sym(f"osc.{case}", (12, 4))) + slope + (2 if case < 2 else 0)


def make(folder, networks, dtypes):
    """All attack files of the folder."""
    for kind in (projections, checkpoints):
        kind(folder)
    made = victims(folder, networks, dtypes)
    for kind in (perturbed, pgd, apgd):
        kind(folder, made)
    attacked_by_art = {suffix: made["dnn", suffix] for suffix in dtypes}
    art_pgd(folder, attacked_by_art)
    generate_art.make(folder, attacked_by_art)
