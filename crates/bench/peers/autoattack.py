"""The reference's AutoAttack on a trained network, and what ours said of the same: called by autoattack.sh."""

import json
import pathlib
import re
import sys
import time

import numpy as np
import torch
from pyautoattack import AutoAttack
from safetensors.torch import load_file

REPOSITORY = pathlib.Path(__file__).parents[3]
sys.path.insert(0, str(REPOSITORY / "tests" / "golden"))
from networks import VGG11, VGG19, Dnn, ResNet, Vgg, Wrapped  # noqa: E402

BATCH = 100


def built(arch):
    """The network that `ARCH` or `ARCH/DIVISOR` names."""
    name, divisor = re.fullmatch(r"(\w+)(?:/(\d+))?", arch).groups()
    divisor = int(divisor or 1)
    match name:
        case "vgg11":
            return Vgg(VGG11, divisor)
        case "vgg19":
            return Vgg(VGG19, divisor)
        case "resnet18":
            return ResNet((2, 2, 2, 2), False, divisor=divisor)
        case "resnet50":
            return ResNet((3, 4, 6, 3), True, divisor=divisor)
        case "dnn" if divisor == 1:
            return Dnn()
    raise SystemExit(f"{arch} is not among the networks that this comparison knows")


class Logits(torch.nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)[0]


def read_images(path, count):
    records = np.fromfile(path, dtype=np.uint8).reshape(-1, 3073)[:count]
    pixels = torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32) / 255)
    return pixels, torch.from_numpy(records[:, 0].astype(np.int64))


def time_of_layout(net, x, layout):
    net.to(memory_format=layout)
    taken = []
    for _ in range(4):
        batch = x[:BATCH].contiguous(memory_format=layout).requires_grad_()
        begun = time.perf_counter()
        torch.autograd.grad(net(batch).sum(), batch)
        taken.append(time.perf_counter() - begun)
    return min(taken)


def main():
    network, arch, normalization, images, count, threads, events = sys.argv[1:]
    torch.set_num_threads(int(threads))
    net = built(arch)
    net.load_state_dict(load_file(network), strict=True)
    net = Logits(Wrapped(net, {"cifar10-fast": "fast", "cifar10-madry": "madry"}[normalization], torch.float32)).eval()
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    x, y = read_images(images, int(count))
    layouts = (torch.contiguous_format, torch.channels_last)
    layout = min(layouts, key=lambda layout: time_of_layout(net, x, layout))
    net.to(memory_format=layout)
    attack = AutoAttack(net, norm="Linf", eps=8 / 255, version="standard", seed=0)
    begun = time.perf_counter()
    adversarial, *_ = attack.run_standard_evaluation(x, y, batch_size=BATCH)
    theirs = time.perf_counter() - begun
    with torch.no_grad():
        theirs_robust = torch.cat([net(part).argmax(1) for part in adversarial.split(BATCH)]) == y
    told = [json.loads(line) for line in open(events)]
    record = next(event for event in told if event.get("record") == "evaluation")
    ours, ours_robust = record["elapsed_us"] / 1e6, record["robust"]["correct"]
    agreeing = sum((image["outcome"]["is"] == "robust") == bool(theirs_robust[image["image"]]) for image in record["images"])
    robust = [100 * float(count) / len(y) for count in (ours_robust, theirs_robust.sum())]
    ratio, apart = ours / theirs, abs(robust[0] - robust[1])
    print(
        f"| {arch} | {count} | {ours:.1f} s | {theirs:.1f} s ({'channels last' if layout == torch.channels_last else 'NCHW'}) | "
        f"{ratio:.2f}, {verdict(ratio <= 0.5)} | {robust[0]:.2f} % | {robust[1]:.2f} %, {verdict(apart <= 0.3)} | {agreeing} of {count} |"
    )


def verdict(met):
    return "met" if met else "not met"


main()
