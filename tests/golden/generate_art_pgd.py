"""Adds ART's own projected gradient descent to a golden folder, by running it: `generate_art_pgd.py FOLDER`.

Needs adversarial-robustness-toolbox 1.7.2, with tqdm, six, scikit-learn and numba, beside what `requirements.txt` names (install the
release without its dependencies: it pins versions of its time). Names that NumPy and SciPy have dropped since are given back before it is
loaded. `generate.py` writes the same file of another seed with PyTorch alone.

In f64 runs the release's constant for the type of its arrays is replaced, and what it calls f32 is f64. Its random numbers are those of
the folder's generator.
"""

import argparse
import json
import pathlib
import warnings

import numpy as np
import torch
from torch.nn import functional as F

from generate_attacks import ART_CASES, IMAGES, ITERATIONS, keep
from generate_searches import victims
from golden_folder import Folder

warnings.simplefilter("ignore")
for name, kind in (("int", int), ("object", object), ("float", float)):
    setattr(np, name, kind)
import scipy.optimize.optimize  # noqa: E402

scipy.optimize.optimize._status_message = {}
import art.estimators.classification.pytorch  # noqa: E402
import art.estimators.pytorch  # noqa: E402
from art.attacks.evasion.projected_gradient_descent import projected_gradient_descent_pytorch as release  # noqa: E402

FILE = "pgd_art_dnn.safetensors"
SINGLE = torch.float32
TYPED = (release, art.estimators.classification.pytorch, art.estimators.pytorch, art.estimators.estimator, art.utils)
ENTRY = {
    "code": f"adversarial-robustness-toolbox {art.__version__} ProjectedGradientDescentPyTorch.generate (y=None: predictions are the "
    "labels) through PyTorchClassifier(loss CrossEntropyLoss(sum), clip (0,1)); f64 by replacing its dtype constants",
    "parameters": {
        "net": "attack_net_dnn.safetensors", "iterations": ITERATIONS, "eps_step": "eps/4", "batch_size": IMAGES,
        "restarts": "num_random_init 2, untargeted", "targeted": "num_random_init 1, towards the class (y+3) mod 10",
        "random_sphere": "replaced: restart r gives f32(eps*v), v = sym('attack.start.r<r>') (l2: v/|v|)",
        "ce": "CE per image at every gradient, restart after restart; targeted: of the target",
    },
    "tolerance": "f64 CE 1e-8 rel, probe 1e-7, robust exact; f32 CE 1e-3",
}


class Logits(torch.nn.Module):
    """The network as ART calls it."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)[0]


class Classifier(art.estimators.classification.pytorch.PyTorchClassifier):
    """Keeps the losses of the points that it is asked for gradients of."""

    def loss_gradient(self, x, y, **kwargs):
        with torch.no_grad():
            self.losses.append(F.cross_entropy(self.model(x), y.argmax(1), reduction="none"))
        return super().loss_gradient(x=x, y=y, **kwargs)


def computing_in(dtype):
    """Makes the release compute in this type."""
    torch.set_default_dtype(dtype)
    torch.float32 = dtype
    for module in TYPED:
        module.ART_NUMPY_DTYPE = np.float64 if dtype == torch.float64 else np.float32


def attack(victim, norm, tag, kind):
    epsilon = victim.epsilons[norm][tag]
    changes = iter([victim.change(norm, tag, restart) for restart in (0, 1)])
    release.random_sphere = lambda n, m, radius, norm: next(changes).numpy().reshape(n, m)
    classifier = Classifier(
        Logits(victim.net), torch.nn.CrossEntropyLoss(reduction="sum"), (3, 32, 32), 10, clip_values=(0, 1),
        device_type="cpu",
    )
    classifier.losses = []
    targeted = kind == "targeted"
    pgd = release.ProjectedGradientDescentPyTorch(
        classifier, norm=np.inf if norm == "Linf" else 2, eps=epsilon, eps_step=epsilon / 4, max_iter=ITERATIONS,
        targeted=targeted, num_random_init=1 if targeted else 2, batch_size=IMAGES, verbose=False,
    )
    towards = ((victim.labels + 3) % 10).numpy() if targeted else None
    points = torch.from_numpy(pgd.generate(x=victim.x.numpy(), y=towards))
    assert points.dtype == victim.x.dtype
    return points, torch.stack(classifier.losses)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    path = pathlib.Path(parser.parse_args().folder)
    index = json.loads((path / "index.json").read_text())
    folder = Folder(path, index["seed"])
    folder.index = index
    out = {}
    for suffix, victim in victims(folder).items():
        victim.labels = victim.ranked(1)
        computing_in(victim.x.dtype)
        for norm, tag, kind in ART_CASES:
            points, losses = attack(victim, norm, tag, kind)
            keep(out, victim, f"dnn.art.{norm}.{tag}.{kind}", suffix, norm, points, losses)
        computing_in(SINGLE)
        out["dnn.labels"] = victim.labels
    folder.save(FILE, out, ENTRY)
    folder.close()


if __name__ == "__main__":
    main()
