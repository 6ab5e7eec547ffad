"""Layers, losses, the optimiser and schedules by themselves."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from networks import Clamp, DTYPES


def layers(folder):
    g, out = folder.generator, {}
    pools = {"maxpool_2_2_tie": (2, 2, 0, (1, 1, 4, 4)), "maxpool_3_2": (3, 2, 0, (2, 3, 13, 13))}
    pools["maxpool_3_2_p1"] = (3, 2, 1, (2, 3, 14, 14))
    for name, (kernel, stride, padding, shape) in pools.items():
        # Few different numbers make many ties.
        x = torch.from_numpy(np.round(g.sym(name + ".x", shape) * 2)).requires_grad_()
        y = F.max_pool2d(x, kernel, stride, padding)
        w = torch.from_numpy(g.sym(name + ".w", tuple(y.shape)))
        (y * w).sum().backward()
        out |= {f"{name}.x": x, f"{name}.y": y, f"{name}.w": w, f"{name}.dx": x.grad}
    for name, values, apply in (
        ("relu", [-1.0, -0.0, 0.0, 1e-30, 2.0], F.relu),
        ("clamp01", [-0.5, -0.0, 0.0, 0.5, 1.0, 1.0000001, 2.0], Clamp.apply),
    ):
        x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
        apply(x).sum().backward()
        out |= {f"{name}.x": x, f"{name}.dx": x.grad}
    bn, shape = nn.BatchNorm2d(5).double(), (3, 5, 4, 4)
    bn.weight.data = torch.from_numpy(1 + 0.1 * g.sym("bn.w", (5,)))
    bn.bias.data = torch.from_numpy(0.1 * g.sym("bn.b", (5,)))
    for s in range(3):
        x = torch.from_numpy(2 * g.sym(f"bn.x{s}", shape) + s).requires_grad_()
        y = bn(x)
        (y * torch.from_numpy(g.sym(f"bn.g{s}", shape))).sum().backward()
        out |= {f"bn.y{s}": y, f"bn.dx{s}": x.grad}
        out |= {f"bn.running_mean{s}": bn.running_mean.clone(), f"bn.running_var{s}": bn.running_var.clone()}
    out |= {"bn.dw_accumulated": bn.weight.grad, "bn.db_accumulated": bn.bias.grad}
    bn.eval()
    out["bn.y_eval"] = bn(torch.from_numpy(2 * g.sym("bn.x0", shape)))
    folder.save("layers.safetensors", out)


def rows(out, name, suffix, x, loss, gradient):
    (grad,) = torch.autograd.grad(loss.sum(), x)
    out |= {f"{name}.{suffix}": loss.reshape(-1), f"{gradient}.{suffix}": grad}


def losses(folder):
    g, out = folder.generator, {}
    z = (g.sym("loss.z", (6, 10)) * 3).astype(np.float32)
    y = g.labels("loss.y", 6, 10)
    z[1] *= 40
    z[2] = 0.25
    z[3, (y[3] + 1) % 10] = z[3, y[3]]
    y[4] = int(z[4].argmax())
    s, t = (np.maximum(g.sym(f"loss.{n}", (8, 512)), 0).astype(np.float32) for n in "st")
    s[2], s[3], t[4] = t[2], 0, 0
    s[5], s[6] = -2 * t[5], np.float32(1e-9) * t[6]
    sl, tl = ((g.sym(f"loss.{n}", (6, 10)) * f).astype(np.float32) for n, f in (("sl", 8), ("tl", 12)))
    sl[0] = tl[0]
    out |= {"z": z, "y": y, "s": s, "t": t, "kd.sl": sl, "kd.tl": tl}
    for suffix, dtype in DTYPES.items():
        def var(a):
            return torch.from_numpy(a).to(dtype).requires_grad_()

        labels, x = torch.from_numpy(y), var(z)
        ce = F.cross_entropy(x, labels, reduction="none")
        rows(out, "ce", suffix, x, ce, "ce.dz")
        out[f"ce_mean.{suffix}"] = ce.mean().reshape(1)
        dlr_losses(out, suffix, var(z), labels)
        student, teacher = var(s), torch.from_numpy(t).to(dtype)
        cos = F.cosine_similarity(student, teacher, dim=1, eps=1e-6)
        rows(out, "cos", suffix, student, cos, "cos.ds")
        out[f"cos_mean.{suffix}"] = cos.mean().reshape(1)
        student = var(s)
        rows(out, "l2dist", suffix, student, torch.norm(student - teacher, dim=1), "l2dist.ds")
        student = var(s)
        rel = torch.norm(student - teacher, dim=1) / torch.norm(teacher, dim=1)
        (grad,) = torch.autograd.grad(rel.sum(), student)
        keep = [0, 1, 2, 3, 5, 6, 7]
        out |= {f"rel_l2.ds.{suffix}": grad, f"rel_l2_rows_without_4.{suffix}": rel[keep]}
        out[f"rel_l2_row4_zero_teacher.{suffix}"] = rel[4:5]
        for temperature, alpha in ((30, 1), (30, 0.5), (4, 0.9)):
            for kind in ("released", "textbook"):
                x, teacher = var(sl), torch.from_numpy(tl).to(dtype)
                loss = distillation(kind, x, teacher, labels, temperature, alpha)
                name = f"kd_{kind}_T{temperature}_a{alpha}"
                rows(out, name, suffix, x, loss, f"{name}.dsl")
    folder.save("losses.safetensors", out)


def dlr_losses(out, suffix, x, labels):
    n = torch.arange(len(labels))
    high, order = x.sort(dim=1)
    hit = (order[:, -1] == labels).to(x.dtype)
    other = high[:, -2] * hit + high[:, -1] * (1 - hit)
    rows(out, "dlr", suffix, x, -(x[n, labels] - other) / (high[:, -1] - high[:, -3] + 1e-12), "dlr.dz")
    for j in (2, 3, 9):
        high, order = x.sort(dim=1)
        target = order[:, -j]
        loss = -(x[n, labels] - x[n, target]) / (high[:, -1] - 0.5 * (high[:, -3] + high[:, -4]) + 1e-12)
        rows(out, f"dlr_t{j}", suffix, x, loss, f"dlr_t{j}.dz")
        out[f"dlr_t{j}.target.{suffix}"] = target


def distillation(kind, student, teacher, labels, temperature, alpha):
    reduction = "batchmean"
    if kind == "released":
        student, teacher, reduction = student / temperature, teacher / temperature, "mean"
    soft = F.kl_div(F.log_softmax(student / temperature, 1), F.softmax(teacher / temperature, 1), reduction=reduction)
    hard = F.cross_entropy(student / temperature if kind == "released" else student, labels)
    return alpha * temperature**2 * soft + (1 - alpha) * hard


def sgd(folder):
    g, out = folder.generator, {}
    for suffix, dtype in DTYPES.items():
        def drawn(name, shape, scale):
            return torch.from_numpy((g.sym(name, shape) * scale).astype(np.float32)).to(dtype)

        p, q = nn.Parameter(drawn("sgd.p", (7, 5), 1)), nn.Parameter(drawn("sgd.q", (5,), 0.1))
        optimizer = torch.optim.SGD([p, q], lr=0.1, momentum=0.9, weight_decay=5e-4)
        for s in range(5):
            optimizer.param_groups[0] |= {"lr": 0.1 * (1 - 0.15 * s), "momentum": 0.9 - 0.02 * s}
            p.grad, q.grad = drawn(f"sgd.gp{s}", (7, 5), 0.5), drawn(f"sgd.gq{s}", (5,), 0.5)
            optimizer.step()
            out |= {f"p{s}.{suffix}": p.detach().clone(), f"q{s}.{suffix}": q.detach().clone()}
            out[f"bp{s}.{suffix}"] = optimizer.state[p]["momentum_buffer"].clone()
    folder.save("sgd.safetensors", out)


def curve(kind, total, base, make, around=()):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=base, momentum=0.9)
    scheduler = make(optimizer)
    steps = sorted({0, 1, total // 3, total // 2, total - 1, *(a + d for a in around for d in (-1, 0, 1))})
    rates, momenta, all_rates = [], [], []
    for step in range(total):
        group = optimizer.param_groups[0]
        all_rates.append(float(group["lr"]))
        if step in steps:
            rates.append(float(group["lr"]))
            momenta.append(float(group["momentum"]))
        optimizer.step()
        scheduler.step()
    group = optimizer.param_groups[0]
    told = {"kind": kind, "total_steps": total, "base_lr": base, "step": steps, "lr": rates, "momentum": momenta}
    after = {"lr_after_last": float(group["lr"]), "momentum_after_last": float(group["momentum"])}
    return told | after | {"lr_sum": math.fsum(all_rates)} | ({"around": list(around)} if around else {})


def schedules(folder):
    of = torch.optim.lr_scheduler

    def cosine(total, base):
        floor = 1e-6 / base
        return lambda o: of.LambdaLR(o, lambda s: floor + (1 - floor) * 0.5 * (1 + math.cos(s / total * math.pi)))

    def cyclic(total, base):
        return lambda o: of.CyclicLR(o, 0.0, base, step_size_up=total / 2, step_size_down=total / 2)

    folder.save_json("schedules.json", {
        "cosine_7x30": curve("cosine per step to 1e-6", 210, 0.05, cosine(210, 0.05)),
        "tri_odd_101": curve("torch CyclicLR, cycle_momentum left on (0.8..0.9)", 101, 0.1, cyclic(101, 0.1)),
        "multistep": curve("MultiStepLR", 90, 0.2, lambda o: of.MultiStepLR(o, [40, 70]), (40, 70)),
        "epochs": curve("per EPOCH, StepLR step 25", 80, 0.1, lambda o: of.StepLR(o, 25)),
    })
