"""Adds the files of searches to a golden folder, by running the reference code: `generate_searches.py FOLDER`.

FAB in l1 and AutoPGD in l1 are those of pyautoattack 0.2.0 (fra31/auto-attack as a package), Carlini & Wagner's attack is foolbox
3.3.4's. The folder must have its attacked network already. Needs torch, numpy, safetensors, foolbox and pyautoattack.

In f64 runs the reference's conversions to float are made conversions to double. For l1 pixels count as changed from 1e-9 on: the
reference counts what differs at all, rounding of unchanged pixels included.
"""

import argparse
import json
import math
import pathlib

import foolbox
import numpy as np
import torch
import torch.nn.functional as F
from pyautoattack import autopgd_base, fab_pt
from safetensors.numpy import load_file

import generate
from generate_attacks import Victim

NET = "attack_net_dnn.safetensors"
TO_FLOAT = torch.Tensor.float


def victims(folder):
    """The attacked network of the folder in each number type."""
    stored, parameters = load_file(folder.path / NET), folder.index["files"][NET]["parameters"]
    made = {}
    for suffix, dtype in generate.DTYPES.items():
        net = generate.network(folder.generator, "dnn", dtype)
        net.net.classifier.bias.data = torch.from_numpy(stored["bias"]).to(dtype)
        made[suffix] = Victim(folder.generator, net, stored["x_u8"], stored["labels"], parameters["eps"], dtype)
    return made


def computing_in(dtype):
    """Makes the reference compute in this type."""
    torch.set_default_dtype(dtype)
    torch.Tensor.float = (lambda tensor: tensor.to(torch.float64)) if dtype == torch.float64 else TO_FLOAT


class Logits(torch.nn.Module):
    """The network as the reference calls it; keeps what it answered."""

    def __init__(self, net):
        super().__init__()
        self.net, self.answers = net, []

    def forward(self, x):
        logits = self.net(x)[0]
        self.answers.append(logits.detach())
        return logits


def size(change):
    return change.flatten(1).abs().sum(1)


def fab(folder, made):
    out, epsilon = {}, 3.0
    for suffix, victim in made.items():
        computing_in(generate.DTYPES[suffix])

        def attack(iterations, **settings):
            attack = fab_pt.FABAttack_PT(Logits(victim.net), norm="L1", n_iter=iterations, eps=epsilon, **settings)
            attack.device = "cpu"
            return attack

        def keep(name, points, told):
            found = victim.net(points)[0].argmax(1) != victim.labels
            out[f"L1.{name}.dist.{suffix}"] = size(points - victim.x)
            out[f"L1.{name}.{told}.{suffix}"] = (found if told == "fooled" else ~within).to(torch.uint8)

        for rank in (2, 3, 9):
            run = attack(20, targeted=True)
            run.target_class = rank
            points = run.attack_single_run(victim.x, victim.labels, use_rand_start=False, is_targeted=True)
            keep(f"targeted{rank}", points, "fooled")
            if suffix == "f64":
                out[f"L1.targeted{rank}.adv_img0_5"] = points[[0, 5]]
        keep("untargeted", attack(10).attack_single_run(victim.x, victim.labels), "fooled")
        points = attack(20, targeted=True, n_target_classes=4).perturb(victim.x, victim.labels)
        within = victim.net(points)[0].argmax(1) != victim.labels
        keep("perturb_4targets", points, "robust")
    entry = {
        "code": "pyautoattack 0.2.0 (fra31/auto-attack) fab_pt.FABAttack_PT: attack_single_run and perturb, norm L1",
        "parameters": {"net": NET, "n_iter": 20, "untargeted n_iter": 10, "epsilon": epsilon, "alpha_max": 0.1, "eta": 1.05, "beta": 0.9},
        "tolerance": "f64 dist 1e-7 rel (deterministic), f32 2e-2 rel; flags exact in f64",
    }
    folder.save("fab_l1_dnn.safetensors", out, entry)


def l1(folder, made):
    out, epsilon = {}, 3.0
    autopgd_base.L0_norm = lambda change: (change.abs() > 1e-9).flatten(1).sum(-1)
    for suffix, victim in made.items():
        computing_in(generate.DTYPES[suffix])
        for loss, iterations in (("ce", 20), ("dlr", 20), ("ce", 100)):
            model, start = Logits(victim.net), victim.start("L2", "big", 0)
            attack = autopgd_base.APGDAttack(model, n_iter=iterations, norm="L1", eps=epsilon, loss=loss, device="cpu", use_largereps=True)
            attack.init_hyperparam(victim.x)
            parts = [math.ceil(0.3 * iterations)] * 2
            for radius, part in zip((3.0, 2.0, 1.0), parts + [iterations - sum(parts)]):
                attack.n_iter, attack.eps = part, radius * epsilon
                start = start + autopgd_base.L1_projection(victim.x, start - victim.x, attack.eps)
                start, right, highest, adversarial = attack.attack_single_run(victim.x, victim.labels, x_init=start)
            of = attack.dlr_loss if loss == "dlr" else lambda z, y: F.cross_entropy(z, y, reduction="none")
            prefix = f"{loss}.N{iterations}"
            out |= {f"{prefix}.{what}.{suffix}": value for what, value in (
                ("loss", torch.stack([of(logits, victim.labels) for logits in model.answers])),
                ("best", highest), ("robust", right.to(torch.uint8)),
                ("x_best_dist", size(start - victim.x)), ("x_best_adv_dist", size(adversarial - victim.x)),
            )}
            if suffix == "f64":
                out[f"{prefix}.x_best_img0_5"] = start.detach()[[0, 5]]
    entry = {
        "code": "pyautoattack 0.2.0 (fra31/auto-attack) autopgd_base.APGDAttack.attack_single_run, norm L1, radii and iterations of decr_eps_pgd; L0_norm counts changes above 1e-9",
        "parameters": {"net": NET, "epsilon": epsilon, "start": "start.L2.big.r0"},
        "tolerance": "f64 loss/best 1e-8 rel, f32 best loss 1e-3 rel",
    }
    folder.save("l1_dnn.safetensors", out, entry)


def carlini_wagner(folder, made):
    out, cases = {}, {"plain": (60, 5, 0.01, 0.1, 0.0), "sure": (40, 4, 0.02, 1.0, 0.3), "repeated": (20, 10, 0.02, 0.1, 0.0)}
    for suffix, victim in made.items():
        computing_in(generate.DTYPES[suffix])
        model = foolbox.PyTorchModel(Logits(victim.net).eval(), bounds=(0, 1), device="cpu")
        for name, (iterations, search_steps, rate, constant, confidence) in cases.items():
            attack = foolbox.attacks.L2CarliniWagnerAttack(search_steps, iterations, rate, confidence, constant)
            # One at a time: whether a search ends early is decided for a whole batch.
            points = torch.cat([attack.run(model, x[None], y[None]) for x, y in zip(victim.x, victim.labels)])
            found = points.flatten(1).abs().amax(1) > 0  # Zeros stand for nothing found.
            out[f"{name}.found.{suffix}"] = found.to(torch.uint8)
            change = torch.where(found.view(-1, 1, 1, 1), points - victim.x, torch.zeros_like(points))
            out[f"{name}.dist.{suffix}"] = change.flatten(1).norm(dim=1)
            if suffix == "f64":
                out[f"{name}.adv_img0_5"] = (victim.x + change)[[0, 5]]
    names = ("iterations", "search_steps", "learning_rate", "initial_constant", "confidence")
    entry = {
        "code": "foolbox 3.3.4 attacks.L2CarliniWagnerAttack.run, one image at a time",
        "parameters": {"net": NET, "cases": {name: dict(zip(names, case)) for name, case in cases.items()}},
        "tolerance": "f64 dist 1e-7 rel, f32 2e-2 rel; flags exact in f64",
    }
    folder.save("cw_dnn.safetensors", out, entry)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    path = pathlib.Path(parser.parse_args().folder)
    index = json.loads((path / "index.json").read_text())
    folder = generate.Folder(path, index["seed"])
    folder.index = index
    made = victims(folder)
    for make in (fab, l1, carlini_wagner):
        print(make.__name__, flush=True)
        make(folder, made)
    computing_in(torch.float32)
    folder.close()


if __name__ == "__main__":
    main()
