"""The plain trainings, a few steps of each."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from networks import DTYPES, network


def checksums(g, net):
    told = {}
    for key, t in net.net.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            first = [float(v) for v in t.flatten()[:3]]
            told[key] = {"l2": float(t.double().norm()), "probe": g.probe("p." + key, t), "first3": first}
    return told


def batch(g, tag, i, count, dtype):
    x = g.images(f"train.{tag}.x{i}", (count, 3, 32, 32), dtype)
    return x, torch.from_numpy(g.labels(f"train.{tag}.y{i}", count, 10))


def descend(net, lr, weight_decay):
    return torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9, weight_decay=weight_decay)


def cosine_rates(base):
    return [base * (1e-6 / base + (1 - 1e-6 / base) * 0.5 * (1 + math.cos(math.pi * s / 5))) for s in range(5)]


def natural(folder):
    g, told = folder.generator, {}
    for suffix, dtype in DTYPES.items():
        for name in ("dnn", "vgg11"):
            net, rates, totals = network(g, name, dtype, "madry").train(), cosine_rates(0.02), []
            optimizer = descend(net, 0.02, 5e-4)
            for i, rate in enumerate(rates):
                x, y = batch(g, "nat", i, 8 if i < 4 else 5, dtype)
                totals.append(update(optimizer, rate, F.cross_entropy(net(x)[0], y)))
            run = {"lr": rates, "total": totals, "xent": totals, "feat": [0.0] * 5, "params": checksums(g, net)}
            told[f"natural_{name}.{suffix}"] = run
    folder.save_json("train_natural.json", told)


def update(optimizer, rate, loss):
    optimizer.param_groups[0]["lr"] = rate
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def rrm(folder):
    g, told = folder.generator, {}
    cases = (("cosine", "dnn", "vgg11"), ("cosine", "vgg11", "resnet18"), ("rel_l2", "dnn", "vgg11"))
    for suffix, dtype in DTYPES.items():
        for kind, teacher_name, student_name in cases:
            base, weight, tag = (0.1, 5e-3, "rrm") if kind == "cosine" else (0.05, 1e-3, "rrml2")
            teacher = network(folder.teachers, teacher_name, dtype, "madry").eval()
            net, rates = network(g, student_name, dtype, "madry").train(), cosine_rates(base)
            optimizer, lists = descend(net, base, 5e-5), {"total": [], "xent": [], "feat": []}
            for i, rate in enumerate(rates):
                x, y = batch(g, tag, i, 8, dtype)
                with torch.no_grad():
                    target = teacher(x)[1]
                logits, latent = net(x)
                cross = F.cross_entropy(logits, y)
                if kind == "cosine":
                    distance, sign = F.cosine_similarity(latent, target, dim=1, eps=1e-6).mean(), -1
                else:
                    distance, sign = (torch.norm(latent - target, dim=1) / torch.norm(target, dim=1)).mean(), 1
                lists["total"].append(update(optimizer, rate, weight * cross + sign * distance))
                lists["xent"].append(float(cross.detach()))
                lists["feat"].append(float(distance.detach()))
            run = {"lr": rates, **lists, "teacher_unchanged": True, "params": checksums(g, net)}
            told[f"rrm_{kind}_{teacher_name}_to_{student_name}.{suffix}"] = run
    folder.save_json("train_rrm.json", told)


def input_gradient(net, x, y):
    x = x.detach().requires_grad_()
    losses = F.cross_entropy(net(x)[0], y, reduction="none")
    (gradient,) = torch.autograd.grad(losses.mean(), x)
    return losses.detach(), gradient


def lengths(change):
    return change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


def madry_attack(net, x, y, start, by_sign, epsilon, step):
    z, best, best_loss = start, start.clone(), None
    for _ in range(7):
        losses, gradient = input_gradient(net, z, y)
        best, best_loss = better(best, best_loss, z, losses)
        if by_sign:
            z = (x + (z + step * gradient.sign() - x).clamp(-epsilon, epsilon)).clamp(0, 1)
        else:
            change = z + gradient / (lengths(gradient) + 1e-10) * step - x
            change = change.renorm(2, 0, epsilon)
            z = (x + change).clamp(0, 1)
    with torch.no_grad():
        losses = F.cross_entropy(net(z)[0], y, reduction="none")
    return better(best, best_loss, z, losses)[0]


def better(best, best_loss, z, losses):
    if best_loss is None:
        return z.clone(), losses.clone()
    won = losses > best_loss
    return torch.where(won.view(-1, 1, 1, 1), z, best), torch.where(won, losses, best_loss)


def sat(folder):
    g, told = folder.generator, {}
    for suffix, dtype in DTYPES.items():
        for name, constraint, epsilon, step in (("dnn", "inf", 8 / 255, 2 / 255), ("vgg11", "2", 1.0, 0.2)):
            net = network(g, name, dtype, "madry")
            optimizer, losses, probes, distances = descend(net, 0.01, 5e-4), [], [], []
            for i in range(2):
                x, y = batch(g, "sat", i, 8, dtype)
                random = torch.from_numpy(g.sym(f"train.sat.r{i}", (8, 3, 32, 32)).astype(np.float32))
                if constraint == "inf":
                    start = (x + 2 * (((random + 1) / 2).to(dtype) - 0.5) * epsilon).clamp(0, 1)
                else:
                    random = random.to(dtype)
                    start = (x + epsilon * random / (lengths(random) + 1e-10)).clamp(0, 1)
                adversarial = madry_attack(net.eval(), x, y, start, constraint == "inf", epsilon, step)
                net.train()
                losses.append(update(optimizer, 0.01, F.cross_entropy(net(adversarial)[0], y)))
                change = adversarial - x
                probes.append([g.probe(f"x{n}", d) for n, d in enumerate(change)])
                size = change.abs().amax((1, 2, 3)) if constraint == "inf" else change.flatten(1).norm(dim=1)
                distances.append(size.tolist())
            told[f"sat_{name}_{constraint}.{suffix}"] = {
                "losses": losses, "eps": epsilon, "step": step, "constraint": constraint, "lr": 0.01,
                "weight_decay": 5e-4, "normaliser": "madry", "adv_probe": probes, "adv_dist": distances,
                "params": checksums(g, net),
            }
    folder.save_json("train_sat.json", told)


def fast(folder):
    g, told, epsilon, step = folder.generator, {}, 8 / 255, 2 / 255
    for suffix, dtype in DTYPES.items():
        net = network(g, "vgg11", dtype, "fast").train()
        optimizer, losses, deltas = descend(net, 0.2, 5e-4), [], []
        for i, (rate, momentum) in enumerate(((0.0, 0.9), (0.2, 0.8))):
            x, y = batch(g, "fast", i, 8, dtype)
            sym = g.sym(f"train.fast.start{i}", (8, 3, 32, 32))
            delta = torch.from_numpy((epsilon * sym).astype(np.float32)).to(dtype)
            delta = torch.maximum(torch.minimum(delta, 1 - x), -x)
            for _ in range(7):
                each, gradient = input_gradient(net, x + delta, y)
                losses.append(float(each.mean()))
                delta = (delta + step * gradient.sign()).clamp(-epsilon, epsilon)
                delta = torch.maximum(torch.minimum(delta, 1 - x), -x)
                told_delta = {"l2": float(delta.double().norm()), "probe": g.probe("delta", delta)}
                told_delta |= {"linf": float(delta.abs().max()), "n": delta.numel()}
                told_delta |= {"positive": int((delta > 0).sum()), "negative": int((delta < 0).sum())}
                deltas.append(told_delta)
            optimizer.param_groups[0]["momentum"] = momentum
            losses.append(update(optimizer, rate, F.cross_entropy(net(x + delta)[0], y)))
        run = {"losses": losses, "lr": [0.0, 0.2], "momentum": [0.9, 0.8], "delta": deltas, "params": checksums(g, net)}
        told[f"fast_at_vgg11.{suffix}"] = run
    folder.save_json("train_fast.json", told)
