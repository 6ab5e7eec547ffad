"""The training methods beyond the plain ones, as `generate.py` writes them down: `make(folder)`."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from generate_trainings import batch, checksums, cosine_rates, descend, input_gradient, lengths, update
from networks import DTYPES, network

EPSILON = 8 / 255


def make(folder):
    for method in (free, fgsm, distillation, robust_distillation, trades, synthesis):
        print(method.__name__, flush=True)
        method(folder)


def triangle(total, peak):
    """Rates and momenta of `CyclicLR` with its momentum cycle, step by step."""
    heights = [1 - abs(2 * s / total - 1) for s in range(total)]
    return [peak * h for h in heights], [0.9 - 0.1 * h for h in heights]


def told_of(g, delta):
    return {
        "l2": float(delta.double().norm()), "probe": g.probe("delta", delta), "linf": float(delta.abs().max()),
        "n": delta.numel(), "positive": int((delta > 0).sum()), "negative": int((delta < 0).sum()),
    }


def boxed(delta, x):
    return torch.maximum(torch.minimum(delta, 1 - x), -x)


def start_of(g, name, scale, shape, dtype):
    return torch.from_numpy((scale * g.sym(name, shape)).astype(np.float32)).to(dtype)


def free(folder):
    g, told, sizes, replays = folder.generator, {}, (8, 8, 5), 8
    rates, momenta = triangle(len(sizes) * replays, 0.04)
    for suffix, dtype in DTYPES.items():
        net = network(g, "vgg11", dtype, "fast").train()
        optimizer, losses, deltas = descend(net, 0.04, 5e-4), [], []
        carried = torch.zeros(sizes[0], 3, 32, 32, dtype=dtype)
        for i, size in enumerate(sizes):
            x, y = batch(g, "free", i, size, dtype)
            for replay in range(replays):
                step = i * replays + replay
                delta = carried[:size].clone().requires_grad_()
                optimizer.param_groups[0]["momentum"] = momenta[step]
                losses.append(update(optimizer, rates[step], F.cross_entropy(net(x + delta)[0], y)))
                moved = (delta.detach() + EPSILON * delta.grad.sign()).clamp(-EPSILON, EPSILON)
                carried[:size] = boxed(moved, x)
                deltas.append(told_of(g, carried[:size]))
        run = {"losses": losses, "lr": rates, "momentum": momenta, "delta": deltas}
        told[f"free_at_vgg11.{suffix}"] = run | {"params": checksums(g, net)}
    folder.save_json("train_free.json", told)


def fgsm(folder):
    """Wong, Rice and Kolter's single step: alpha = 1.25 epsilon from a uniform start, in train mode."""
    g, told = folder.generator, {}
    rates, momenta = triangle(4, 0.2)
    for suffix, dtype in DTYPES.items():
        net = network(g, "vgg11", dtype, "fast").train()
        optimizer, losses, deltas = descend(net, 0.2, 5e-4), [], []
        for i, (rate, momentum) in enumerate(zip(rates, momenta)):
            x, y = batch(g, "fgsm", i, 8, dtype)
            delta = boxed(start_of(g, f"train.fgsm.start{i}", EPSILON, (8, 3, 32, 32), dtype), x)
            each, gradient = input_gradient(net, x + delta, y)
            losses.append(float(each.mean()))
            delta = boxed((delta + 1.25 * EPSILON * gradient.sign()).clamp(-EPSILON, EPSILON), x)
            deltas.append(told_of(g, delta))
            optimizer.param_groups[0]["momentum"] = momentum
            losses.append(update(optimizer, rate, F.cross_entropy(net(x + delta)[0], y)))
        run = {"losses": losses, "lr": rates, "momentum": momenta, "delta": deltas}
        told[f"fgsm_at_vgg11.{suffix}"] = run | {"params": checksums(g, net)}
    folder.save_json("train_fgsm.json", told)


def divergence(student, teacher, temperature, classes_too):
    """KL(softmax(t/T) || softmax(s/T)), by images, or by images and classes as `KLDivLoss()` has it."""
    soft, log = F.softmax(teacher / temperature, 1), F.log_softmax(student / temperature, 1)
    return F.kl_div(log, soft, reduction="mean" if classes_too else "batchmean")


def distillation(folder):
    """The released loss, on networks that divide their logits by T themselves."""
    g, told = folder.generator, {}
    for suffix, dtype in DTYPES.items():
        for teacher_name, student_name, temperature, alpha in (
            ("resnet18", "vgg11", 30.0, 1.0), ("vgg11", "resnet18", 4.0, 0.5),
        ):
            teacher = network(folder.teachers, teacher_name, dtype, "madry").eval()
            net, rates = network(g, student_name, dtype, "madry").train(), cosine_rates(0.1)
            optimizer, lists = descend(net, 0.1, 5e-5), {"total": [], "xent": [], "feat": []}
            for i, rate in enumerate(rates):
                x, y = batch(g, "kd", i, 8, dtype)
                with torch.no_grad():
                    target = teacher(x)[0] / temperature
                logits = net(x)[0] / temperature
                soft = divergence(logits, target, temperature, True)
                hard = F.cross_entropy(logits / temperature, y)
                total = alpha * temperature**2 * soft + (1 - alpha) * hard
                lists["total"].append(update(optimizer, rate, total))
                lists["xent"].append(float(hard.detach()))
                lists["feat"].append(float(soft.detach()))
            run = {"lr": rates, **lists, "teacher_unchanged": True, "params": checksums(g, net)}
            name = f"kd_{teacher_name}_to_{student_name}_T{temperature:g}_a{f'{alpha:g}'.replace('.', '')}"
            told[f"{name}.{suffix}"] = run
    folder.save_json("train_kd.json", told)


def robust_distillation(folder):
    """Goldblum et al.'s: PGD-10 in train mode, the divergence of adversarial predictions, cross-entropy of natural ones."""
    g, told, step = folder.generator, {}, 2 / 255
    for suffix, dtype in DTYPES.items():
        for temperature, alpha, form in ((30.0, 1.0, "released"), (4.0, 0.5, "textbook")):
            teacher = network(folder.teachers, "resnet18", dtype, "madry").eval()
            net, rates = network(g, "vgg11", dtype, "madry").train(), cosine_rates(0.1)[:3]
            optimizer, lists = descend(net, 0.1, 2e-4), {"total": [], "delta": []}
            for i, rate in enumerate(rates):
                x, y = batch(g, "ard", i, 8, dtype)
                delta = boxed(start_of(g, f"train.ard.start{i}", EPSILON, (8, 3, 32, 32), dtype), x)
                for _ in range(10):
                    _, gradient = input_gradient(net, x + delta, y)
                    delta = boxed((delta + step * gradient.sign()).clamp(-EPSILON, EPSILON), x)
                with torch.no_grad():
                    target = teacher(x)[0]
                soft = divergence(net(x + delta)[0], target, temperature, form == "released")
                natural = net(x)[0]
                hard = F.cross_entropy(natural / temperature if form == "released" else natural, y)
                total = alpha * temperature**2 * soft + (1 - alpha) * hard
                lists["total"].append(update(optimizer, rate, total))
                lists["delta"].append(told_of(g, delta))
            name = f"ard_{form}_T{temperature:g}_a{f'{alpha:g}'.replace('.', '')}"
            told[f"{name}.{suffix}"] = {"lr": rates, **lists, "params": checksums(g, net)}
    folder.save_json("train_ard.json", told)


def trades(folder):
    """Zhang et al.'s loss with beta = 6; its search is in eval mode, from noise that is given."""
    g, told, step, beta = folder.generator, {}, 2 / 255, 6.0
    for suffix, dtype in DTYPES.items():
        net, rates = network(g, "vgg11", dtype, "madry"), cosine_rates(0.01)[:3]
        optimizer, lists = descend(net, 0.01, 5e-4), {"total": [], "xent": [], "feat": [], "delta": []}
        for i, rate in enumerate(rates):
            x, y = batch(g, "trades", i, 8, dtype)
            net.eval()
            with torch.no_grad():
                target = net(x)[0]
            z = (x + start_of(g, f"train.trades.start{i}", 1e-3, (8, 3, 32, 32), dtype)).clamp(0, 1)
            for _ in range(10):
                z.requires_grad_()
                (gradient,) = torch.autograd.grad(divergence(net(z)[0], target, 1.0, False) * 8, z)
                z = (x + (z.detach() + step * gradient.sign() - x).clamp(-EPSILON, EPSILON)).clamp(0, 1)
            net.train()
            natural = net(x)[0]
            hard, soft = F.cross_entropy(natural, y), divergence(net(z)[0], natural, 1.0, False)
            lists["total"].append(update(optimizer, rate, hard + beta * soft))
            lists["xent"].append(float(hard.detach()))
            lists["feat"].append(float(soft.detach()))
            lists["delta"].append(told_of(g, z - x))
        told[f"trades_vgg11.{suffix}"] = {"lr": rates, **lists, "params": checksums(g, net)}
    folder.save_json("train_trades.json", told)


def synthesis(folder):
    """Robust images: normalised gradient descent of the representation's distance, the best iterate of each image."""
    g, told, out, steps, step = folder.generator, {}, {}, 20, 0.1
    pool = g.img_u8("train.rdt.pool", (9, 3, 32, 32)).astype(np.float32) / np.float32(255)
    chosen = [math.floor(u * 9) for u in g.u01("train.rdt.start", (4,))]
    out["start_index"] = np.array(chosen, dtype=np.int64)
    for suffix, dtype in DTYPES.items():
        net = network(g, "vgg11", dtype, "fast").eval()
        x = g.images("train.rdt.x", (4, 3, 32, 32), dtype)
        start = torch.from_numpy(pool[chosen]).to(dtype)
        with torch.no_grad():
            target = net(x)[1]
        z, best, least, distances = start, start.clone(), None, []
        for i in range(steps + 1):
            z = z.detach().requires_grad_()
            each = (net(z)[1] - target).norm(dim=1)
            (gradient,) = torch.autograd.grad(each.sum(), z)
            z, each = z.detach(), each.detach()
            distances.append(each.tolist())
            won = torch.ones_like(each, dtype=torch.bool) if least is None else each < least
            best = torch.where(won.view(-1, 1, 1, 1), z, best)
            least = each if least is None else torch.where(won, each, least)
            if i < steps:
                z = (z - step * gradient / (lengths(gradient) + 1e-10)).clamp(0, 1)
        moved = (best - start).flatten(1).norm(dim=1)
        told[f"rdt_vgg11.{suffix}"] = {
            "distances": distances, "best": least.tolist(), "l2_from_start": moved.tolist(),
        }
        if suffix == "f64":
            out |= {"distances": torch.tensor(distances, dtype=torch.float64), "images_f64": best, "images": best.float()}
    folder.save_json("train_rdt.json", told)
    folder.save("rdt_vgg11.safetensors", out)
