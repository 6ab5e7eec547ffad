"""The paper's networks in PyTorch, as a peer of the benchmark: orders come as JSON lines on stdin, replies go to stdout.

    {"set_up": {"arch": "resnet18", "workload": "train", "batch": 128, "precision": "f32",
                "variant": {"layout": "channels_last", "compile": false}}}   -> {"ready": {}}
    {"steps": 3}                                                             -> {"milliseconds": [2473.1, 2471.9, 2470.0]}

What fails is answered by {"failed": "why"}. `pytorch.py --threads N`. The networks are written after the paper's code: same layers, same order, the
pixels' clamp and normalisation first.
"""

import argparse
import json
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

MEAN, STD = [0.4914, 0.4822, 0.4465], [0.2471, 0.2435, 0.2616]
IMAGENET_MEAN, IMAGENET_STD = [0.4717, 0.4499, 0.3837], [0.2600, 0.2516, 0.2575]
VGG = {
    "vgg11": [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "vgg16": [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"],
    "vgg19": [64, 64, "M", 128, 128, "M"] + [256] * 4 + ["M"] + [512] * 4 + ["M"] + [512] * 4 + ["M"],
}


class Normalize(nn.Module):
    def __init__(self, mean, std):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, x):
        return (x.clamp(0, 1) - self.mean) / self.std


def dnn(divisor):
    layers, channels = [], 3
    for width in (32 // divisor, 64 // divisor, 128 // divisor):
        for _ in range(2):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    hidden = 512 // divisor
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * channels, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def vgg_features(plan, divisor, norm):
    layers, channels = [], 3
    for width in plan:
        if width == "M":
            layers.append(nn.MaxPool2d(2))
            continue
        width //= divisor
        layers.append(nn.Conv2d(channels, width, 3, padding=1))
        layers += [nn.BatchNorm2d(width), nn.ReLU()] if norm else [nn.ReLU()]
        channels = width
    return layers


def vgg_cifar(name, divisor):
    return nn.Sequential(*vgg_features(VGG[name], divisor, norm=True), nn.Flatten(), nn.Linear(512 // divisor, 10))


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = shortcut(channels, width, stride)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.shortcut = shortcut(channels, 4 * width, stride)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.shortcut(x))


def shortcut(channels, width, stride):
    if stride == 1 and channels == width:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))


def stages(block, counts, divisor):
    layers, channels = [], 64 // divisor
    for index, count in enumerate(counts):
        width = (64 << index) // divisor
        for position in range(count):
            layers.append(block(channels, width, 2 if index > 0 and position == 0 else 1))
            channels = width * block.expansion
    return layers, channels


def resnet_cifar(block, counts, divisor):
    width = 64 // divisor
    layers, channels = stages(block, counts, divisor)
    latent = 512 // divisor
    adapter = nn.Identity() if channels == latent else nn.Linear(channels, latent)
    stem = [nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*stem, *layers, nn.AvgPool2d(4), nn.Flatten(), adapter, nn.Linear(latent, 10))


def alexnet(divisor):
    a, b, c, d, e = (width // divisor for width in (64, 192, 384, 256, 256))
    hidden, latent = 4096 // divisor, 2048 // divisor
    return nn.Sequential(
        nn.Conv2d(3, a, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(a, b, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(b, c, 3, padding=1), nn.ReLU(),
        nn.Conv2d(c, d, 3, padding=1), nn.ReLU(),
        nn.Conv2d(d, e, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.AdaptiveAvgPool2d(6), nn.Flatten(),
        nn.Dropout(0.5), nn.Linear(36 * e, hidden), nn.ReLU(),
        nn.Dropout(0.5), nn.Linear(hidden, latent), nn.ReLU(), nn.Linear(latent, 9),
    )


def vgg16(divisor):
    hidden, latent = 4096 // divisor, 2048 // divisor
    return nn.Sequential(
        *vgg_features(VGG["vgg16"], divisor, norm=False), nn.AdaptiveAvgPool2d(7), nn.Flatten(),
        nn.Linear(25088 // divisor, hidden), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(hidden, latent), nn.ReLU(), nn.Dropout(0.5), nn.Linear(latent, 9),
    )


def resnet50_imagenet(divisor):
    width = 64 // divisor
    layers, channels = stages(Bottleneck, (3, 4, 6, 3), divisor)
    stem = [nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 9))


CIFAR = {
    "dnn": dnn,
    "vgg11": lambda divisor: vgg_cifar("vgg11", divisor),
    "vgg19": lambda divisor: vgg_cifar("vgg19", divisor),
    "resnet18": lambda divisor: resnet_cifar(BasicBlock, (2, 2, 2, 2), divisor),
    "resnet50": lambda divisor: resnet_cifar(Bottleneck, (3, 4, 6, 3), divisor),
}
IMAGENET = {"alexnet": alexnet, "vgg16": vgg16, "resnet50-imagenet": resnet50_imagenet}


def network(arch):
    """The network and the side of its images, for a name such as `resnet18/4`."""
    name, _, divisor = arch.partition("/")
    divisor = int(divisor or 1)
    if name in CIFAR:
        return nn.Sequential(Normalize(MEAN, STD), CIFAR[name](divisor)), 32, 10
    return nn.Sequential(Normalize(IMAGENET_MEAN, IMAGENET_STD), IMAGENET[name](divisor)), 224, 9


def work(arch, workload, batch, precision, variant, device="cpu"):
    """A function that does `workload` once."""
    torch.manual_seed(0)
    net, side, classes = network(arch)
    net = net.to(device)
    pixels, labels = torch.rand(batch, 3, side, side).to(device), (torch.arange(batch) % classes).to(device)
    if variant["layout"] == "channels_last":
        net = net.to(memory_format=torch.channels_last)
        pixels = pixels.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)
    forward = torch.compile(net) if variant["compile"] else net
    bf16 = precision == "bf16"

    def logits(x):
        with torch.autocast(device, dtype=torch.bfloat16, enabled=bf16):
            return forward(x)

    def train():
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(logits(pixels).float(), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    def attack():
        x = pixels.clone(memory_format=torch.preserve_format).requires_grad_()
        loss = F.cross_entropy(logits(x).float(), labels, reduction="sum")
        return torch.autograd.grad(loss, x)[0]

    def evaluate():
        with torch.inference_mode():
            return logits(pixels)

    net.train(workload == "train")
    if workload != "train":
        net.requires_grad_(False)
    return {"train": train, "attack": attack, "eval": evaluate}[workload]


def timed(step):
    start = time.perf_counter()
    step()
    return (time.perf_counter() - start) * 1e3


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args().threads)
    replies = sys.stdout
    # Whatever a library prints must not be taken for a reply.
    sys.stdout = sys.stderr
    step = None

    def reply(**message):
        print(json.dumps(message), file=replies, flush=True)

    reply(hello={"name": "PyTorch", "version": torch.__version__})
    for line in sys.stdin:
        order = json.loads(line)
        try:
            if "set_up" in order:
                step = None
                step = work(**order["set_up"])
                reply(ready={})
            else:
                reply(milliseconds=[timed(step) for _ in range(order["steps"])])
        except Exception as error:
            reply(failed=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
