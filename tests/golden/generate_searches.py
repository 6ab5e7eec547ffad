"""Adds what the reference code itself must say to a golden folder, by running it: `generate_searches.py FOLDER`.

FAB, Square, AutoPGD in l1 and the projections of l1 and of planes are those of pyautoattack 0.2.0 (fra31/auto-attack as a package), Carlini &
Wagner's attack is foolbox 3.3.4's. The folder must have its attacked network already. `requirements.txt` beside this has what is needed.
Files of other makers that the repository has (`fab_dnn`, `square_dnn`) are left alone in its own folder, unless `--all` is given.

In l1 Square adds a projection's correction to the change first, and then the sum to the image, where the reference adds one after the other:
that leaves 1e-16 of changes that are taken back, which it then divides by 1e-12 and takes for a direction.

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
from pyautoattack import autopgd_base, fab_projections, fab_pt
from pyautoattack import square as square_module
from pyautoattack.square import SquareAttack
from safetensors.numpy import load_file

from generate_attacks import Victim
from golden_folder import Folder
from networks import DTYPES, network

NET = "attack_net_dnn.safetensors"
TO_FLOAT = torch.Tensor.float
DRAWN = torch.rand


def victims(folder):
    """The attacked network of the folder in each number type."""
    stored, parameters = load_file(folder.path / NET), folder.index["files"][NET]["parameters"]
    made = {}
    for suffix, dtype in DTYPES.items():
        net = network(folder.generator, "dnn", dtype)
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


def size(change, norm="L1"):
    change = change.flatten(1)
    if norm == "L1":
        return change.abs().sum(1)
    return change.abs().amax(1) if norm == "Linf" else change.norm(dim=1)


def fab(folder, made):
    """In l-inf and l2 with each net's small radius, in l1 with one of its own."""
    entry = {
        "code": "pyautoattack 0.2.0 (fra31/auto-attack) fab_pt.FABAttack_PT: attack_single_run and perturb, norm L1",
        "parameters": {"net": NET, "n_iter": 20, "untargeted n_iter": 10, "epsilon": 3.0, "alpha_max": 0.1, "eta": 1.05, "beta": 0.9},
        "tolerance": "f64 dist 1e-7 rel (deterministic), f32 2e-2 rel; flags exact in f64",
    }
    folder.save("fab_l1_dnn.safetensors", fab_runs(made, {"L1": 3.0}), entry)


def fab_of_boxes(folder, made):
    radii = {norm: made["f64"].epsilons[norm]["small"] for norm in ("Linf", "L2")}
    folder.save("fab_dnn.safetensors", fab_runs(made, radii))


def fab_runs(made, radii):
    out = {}
    for suffix, victim in made.items():
        computing_in(DTYPES[suffix])
        for norm, epsilon in radii.items():
            out |= fab_run(victim, norm, epsilon, suffix)
    return out


def fab_run(victim, norm, epsilon, suffix):
    out = {}

    def attack(iterations, **settings):
        attack = fab_pt.FABAttack_PT(Logits(victim.net), norm=norm, n_iter=iterations, eps=epsilon, **settings)
        attack.device = "cpu"
        return attack

    def keep(name, points, told):
        found = victim.net(points)[0].argmax(1) != victim.labels
        out[f"{norm}.{name}.dist.{suffix}"] = size(points - victim.x, norm)
        out[f"{norm}.{name}.{told}.{suffix}"] = (found if told == "fooled" else ~within).to(torch.uint8)

    for rank in (2, 3, 9):
        run = attack(20, targeted=True)
        run.target_class = rank
        points = run.attack_single_run(victim.x, victim.labels, use_rand_start=False, is_targeted=True)
        keep(f"targeted{rank}", points, "fooled")
        if suffix == "f64":
            out[f"{norm}.targeted{rank}.adv_img0_5"] = points[[0, 5]]
    keep("untargeted", attack(10).attack_single_run(victim.x, victim.labels), "fooled")
    points = attack(20, targeted=True, n_target_classes=4).perturb(victim.x, victim.labels)
    within = victim.net(points)[0].argmax(1) != victim.labels
    keep("perturb_4targets", points, "robust")
    return out


class TracedSquare(SquareAttack):
    """Square that keeps what its search knows before each proposal, by the reference's own rule."""

    def begin(self):
        self.margins, self.losses = [], []

    def margin_and_loss(self, x, y):
        margin, loss = super().margin_and_loss(x, y)
        if not self.margins:
            self.margins.append(margin.clone())
            self.losses.append(loss.clone())
            return margin, loss
        margins, losses = self.margins[-1].clone(), self.losses[-1].clone()
        left = (margins > 0).nonzero().flatten()
        better = loss < losses[left]
        losses[left] = torch.where(better, loss, losses[left])
        margins[left] = torch.where(better | (margin <= 0), margin, margins[left])
        self.margins.append(margins)
        self.losses.append(losses)
        return margin, loss


def corrected(images, change, epsilon):
    """The reference's projection, whose correction is in the change already."""
    change += autopgd_base.L1_projection(images, change, epsilon)
    return torch.zeros_like(change)


square_module.L1_projection = corrected


class Stream:
    """Numbers in place of `torch.rand`: the upper bits of a golden stream, in the order of the calls."""

    def __init__(self, generator, name):
        self.numbers, self.used = (generator.raw(name, 1 << 18) >> np.uint64(40)).astype(np.float64) * 2.0**-24, 0

    def __call__(self, *shape, **_):
        shape = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
        begin, self.used = self.used, self.used + math.prod(shape)
        return torch.from_numpy(self.numbers[begin:self.used].reshape(shape)).to(torch.get_default_dtype())


def square(folder, made):
    """In l1, with a radius of its own."""
    entry = {
        "code": "pyautoattack 0.2.0 (fra31/auto-attack) square.SquareAttack.attack_single_run, norm L1, torch.rand replaced as for square_dnn; corrections are added to changes first",
        "parameters": folder.model["files"]["square_dnn.safetensors"]["parameters"] | {"epsilon": 6.0},
        "tolerance": "f64 1e-8; f32 may differ on near-ties",
    }
    entry["parameters"].pop("eps")
    folder.save("square_l1_dnn.safetensors", square_runs(folder, made, {"L1": 6.0}), entry)


def square_of_boxes(folder, made):
    radii = {norm: 10 * made["f64"].epsilons[norm]["small"] for norm in ("Linf", "L2")}
    folder.save("square_dnn.safetensors", square_runs(folder, made, radii))


def square_runs(folder, made, radii):
    """All images but the last, whose label is wrong."""
    out = {}
    for suffix, victim in made.items():
        computing_in(DTYPES[suffix])
        for norm, epsilon in radii.items():
            x = victim.x[:-1]
            attack = TracedSquare(Logits(victim.net), norm=norm, n_queries=120, eps=epsilon, resc_schedule=False, device="cpu")
            attack.init_hyperparam(x)
            attack.begin()
            torch.rand = Stream(folder.generator, f"square.{norm}")
            queries, points = attack.attack_single_run(x, victim.labels[:-1])
            torch.rand = DRAWN
            out |= {f"{norm}.{what}.{suffix}": value for what, value in (
                ("margin", torch.stack(attack.margins)), ("loss", torch.stack(attack.losses)), ("n_queries", queries),
                ("dist", size(points - x, norm)),
            )}
            if suffix == "f64":
                out[f"{norm}.x_best_img0_5"] = TO_FLOAT(points[[0, 5]])
    return out


def projections(folder, _):
    """The reference's own, beside those that are written down: in l1, and onto planes within the box."""
    computing_in(torch.float64)
    out = {name: torch.from_numpy(numbers) for name, numbers in load_file(folder.path / "projections.safetensors").items()}
    for n in ("8", "300"):
        x, z = out[f"x{n}"], out[f"z{n}"]
        for epsilon in (0.1, 0.5):
            out[f"fra31_l1.d{n}.eps{epsilon}"] = z + autopgd_base.L1_projection(x, z - x, 4 * epsilon)
        points = x.flatten(1)
        w = torch.from_numpy(folder.generator.sym(f"proj.w{n}", tuple(points.shape)))
        w[:, ::5] = 0
        # Near enough that the plane meets the box of most images, not of all.
        b = (w * points).sum(1) + 0.4 * w.abs().sum(1) * torch.from_numpy(folder.generator.sym(f"proj.b{n}", (len(points),)))
        out |= {f"fab.w{n}": w, f"fab.b{n}": b}
        for norm in ("linf", "l2", "l1"):
            out[f"fab_{norm}.d{n}"] = getattr(fab_projections, f"projection_{norm}")(points, w, b)
    folder.save("projections.safetensors", out)


def l1(folder, made):
    out, epsilon = {}, 3.0
    autopgd_base.L0_norm = lambda change: (change.abs() > 1e-9).flatten(1).sum(-1)
    for suffix, victim in made.items():
        computing_in(torch.float32)
        given = victim.start("L2", "big", 0)  # Rounded to f32, in f64 runs too: as it is stored.
        computing_in(DTYPES[suffix])
        for loss, iterations in (("ce", 20), ("dlr", 20), ("ce", 100)):
            model, start = Logits(victim.net), given
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
        computing_in(DTYPES[suffix])
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
    parser.add_argument("--all", action="store_true", help="the files of other makers, too")
    arguments = parser.parse_args()
    path = pathlib.Path(arguments.folder)
    index = json.loads((path / "index.json").read_text())
    folder = Folder(path, index["seed"])
    folder.index = index
    made = victims(folder)
    for make in (fab, square, l1, carlini_wagner) + ((fab_of_boxes, square_of_boxes, projections) if arguments.all else ()):
        print(make.__name__, flush=True)
        make(folder, made)
    computing_in(torch.float32)
    folder.close()


if __name__ == "__main__":
    main()
