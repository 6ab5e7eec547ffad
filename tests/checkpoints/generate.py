"""Writes `data/`: small networks as PyTorch saves them, in every form that `rrm model import` reads.

`generate.py [FOLDER]`. Needs torch, numpy and safetensors. Written again, the files hold the same numbers.
"""

import json
import pathlib
import sys
import warnings

import torch
from safetensors.torch import save_file
from torch import nn

import networks
from networks import FAST_MEAN, FAST_STD, MADRY_MEAN, MADRY_STD

FOLDER = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "data")
LEGACY = {"_use_new_zipfile_serialization": False}


class Normalizer(nn.Module):
    """MadryLab's `InputNormalize`."""

    def __init__(self):
        super().__init__()
        self.register_buffer("new_mean", torch.tensor(MADRY_MEAN)[..., None, None])
        self.register_buffer("new_std", torch.tensor(MADRY_STD)[..., None, None])


class Attacker(nn.Module):
    """MadryLab's, which keeps the network and the normaliser again."""

    def __init__(self, model):
        super().__init__()
        self.normalize, self.model = Normalizer(), model


class AttackerModel(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.normalizer, self.model, self.attacker = Normalizer(), model, Attacker(model)


class Standardize(nn.Module):
    """What others put before a network in an `nn.Sequential`."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor(MADRY_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(MADRY_STD).view(1, 3, 1, 1))


def seeded(arch, seed=0):
    torch.manual_seed(seed)
    return networks.build(arch)


def rounded(net, dtype):
    """The same network with every number rounded, in f32."""
    state = {key: t.to(dtype).float() if t.is_floating_point() else t for key, t in net.state_dict().items()}
    other = type(net)(16)
    other.load_state_dict(state)
    return other.eval()


def trained(net):
    """An optimiser with a momentum for the classifier alone, which keeps the file small."""
    optimizer = torch.optim.SGD(net.classifier.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    net.classifier(torch.ones(1, net.classifier.in_features)).sum().backward()
    optimizer.param_groups[0]["lr"] = 0.0  # A momentum, and the same weights.
    optimizer.step()
    return optimizer


def madry(net):
    """What MadryLab's trainer saves, of a DataParallel of its AttackerModel."""
    optimizer = trained(net)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.1 ** (epoch // 50))
    return {
        "model": nn.DataParallel(AttackerModel(net)).state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "epoch": 151,
        "amp": None,
        "adv_prec1": torch.tensor(53.49),
    }


def authors(net):
    """What the authors' scripts save of an O2 run: f32 that was rounded to f16."""
    optimizer = trained(net)
    state, momentum = net.state_dict(), optimizer.state_dict()
    return {"state_dict": state, "optimizer_state_dict": momentum, "epoch": 48, "best_acc": 0.61, "time_per_epoch": [12.5, 12.25]}


def fast_adversarial():
    """A network of fast_adversarial's with statistics that are not the first ones, as apex casts it: all but the batch-norms in f16.

    Returns the same network in f32, too."""
    net = seeded("preactresnet18/16")
    for norm in (module for module in net.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.2, 0.2)
    net.train()(torch.randn(8, 3, 32, 32))
    norms = tuple(name for name, module in net.named_modules() if isinstance(module, nn.BatchNorm2d))
    cast = lambda key, t: t if key.rpartition(".")[0] in norms else t.half()
    state = {key: cast(key, t) for key, t in net.state_dict().items()}
    net.load_state_dict(state)
    return state, net.eval()


def strided(net):
    """All parameters as views of one storage, matrices transposed in it and kernels with their channels last."""
    state, views = net.state_dict(), {}
    flat = torch.zeros(sum(t.numel() for t in state.values()) + 7)
    at = 7
    for key, t in state.items():
        order = [1, 0] if t.dim() == 2 else [0, 2, 3, 1] if t.dim() == 4 else [0]
        back = [order.index(axis) for axis in range(t.dim())]
        lying = t.permute(order)
        view = flat[at : at + t.numel()].view(lying.shape)
        view.copy_(lying)
        views[key] = view.permute(back)
        at += t.numel()
    return views


def one_number(arch):
    """A network all of whose tensors are the same number in the same storage, with steps of 0."""
    state = networks.without_adapter(networks.build(arch)).state_dict()
    half, count = torch.tensor([0.5]), torch.tensor(3)
    return {key: half.expand(t.shape) if t.is_floating_point() else count for key, t in state.items()}


def main():
    warnings.simplefilter("ignore")
    FOLDER.mkdir(parents=True, exist_ok=True)
    save = lambda value, name, **how: torch.save(value, FOLDER / name, **how)
    net = seeded("dnn/16")
    state = net.state_dict()
    of = lambda dtype: {key: t.to(dtype) for key, t in state.items()}
    save(state, "bare.pt")
    save(state, "bare_legacy.pt", **LEGACY)
    save(state, "protocol4.pt", pickle_protocol=4)
    save(madry(net), "madry_legacy.pt", **LEGACY)
    save(madry(net), "madry.pt")
    save(authors(rounded(net, torch.float16)), "authors_legacy.pt", **LEGACY)
    save(of(torch.float16), "half.pt")
    save(of(torch.bfloat16), "brain_legacy.pt", **LEGACY)
    save({key: t.double() + 1e-12 for key, t in state.items()}, "double.pt")
    save(nn.Sequential(Standardize(), net).state_dict(), "sequential.pt")
    save({"net": {f"module.{key}": nn.Parameter(t) for key, t in state.items()}, "acc": 61.5}, "parameters.pt")
    save(strided(net), "strided.pt")
    save(strided(net), "strided_legacy.pt", **LEGACY)
    save(one_number("resnet50/16"), "one_number.pt")
    save(nn.Sequential(nn.Linear(2, 2)), "whole_module.pt")
    save({"epoch": 3, "accuracy": 0.5}, "no_network.pt")
    save_file(of(torch.bfloat16), FOLDER / "brain.safetensors")
    state, fast = fast_adversarial()
    save(state, "fast_adversarial_legacy.pt", **LEGACY)
    exact, half, brain = (networks.logits(n) for n in (net, rounded(net, torch.float16), rounded(net, torch.bfloat16)))
    expected = {"image": "(37 i + 11) mod 256 / 255", "f32": exact, "f16": half, "bf16": brain}
    expected["fast_adversarial"] = networks.logits(fast, mean=FAST_MEAN, std=FAST_STD)
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


main()
