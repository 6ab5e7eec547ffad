"""The reference networks at any width, by the names that `--arch` takes, and what the checkpoints' tests compute with them."""

import importlib.util
import pathlib
import sys

import torch
from torch import nn

GOLDEN = pathlib.Path(__file__).parent.parent / "golden"


def golden_networks():
    """`networks.py` of the golden folder, which has this file's name."""
    sys.path.append(str(GOLDEN))
    spec = importlib.util.spec_from_file_location("golden_networks", GOLDEN / "networks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


golden = golden_networks()
MADRY_MEAN, MADRY_STD = golden.NORMALISERS["madry"]
FAST_MEAN, FAST_STD = golden.NORMALISERS["fast"]


class Dnn(golden.Dnn):
    def __init__(self, divisor=1):
        nn.Module.__init__(self)
        layers, channels = [], 3
        for width in (32, 64, 128):
            for _ in range(2):
                layers += [nn.Conv2d(channels, width // divisor, 3, padding=1), nn.ReLU()]
                channels = width // divisor
            layers.append(nn.MaxPool2d(2))
        layers += [nn.Flatten(), nn.Linear(channels * 16, 512 // divisor), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(512 // divisor, 10)


def without_adapter(net):
    """MadryLab's form of a ResNet50: the classifier sees the pooled features."""
    net.linear = nn.Linear(net.added_linear.in_features, net.linear.out_features)
    net.added_linear = nn.Sequential()
    return net


BUILDERS = {
    "dnn": Dnn,
    "vgg11": lambda divisor: golden.Vgg(golden.VGG11, divisor),
    "vgg19": lambda divisor: golden.Vgg(golden.VGG19, divisor),
    "resnet18": lambda divisor: golden.ResNet((2, 2, 2, 2), False, divisor=divisor),
    "preactresnet18": golden.PreActResNet18,
    "resnet50": lambda divisor: golden.ResNet((3, 4, 6, 3), True, divisor=divisor),
    "alexnet": golden.AlexNet,
    "resnet50-imagenet": lambda divisor: golden.ResNet((3, 4, 6, 3), True, True, divisor),
    "vgg16": golden.Vgg16,
}


def build(arch):
    """The network of a name such as `resnet18/4`, in eval mode."""
    family, _, divisor = arch.partition("/")
    return BUILDERS[family](int(divisor or 1)).eval()


def image(side):
    """One image (1, 3, side, side) by a formula that the tests repeat."""
    count = 3 * side * side
    return ((torch.arange(count) * 37 + 11) % 256).to(torch.float32).div(255).view(1, 3, side, side)


def logits(net, side=32, mean=MADRY_MEAN, std=MADRY_STD):
    """What the network says of `image`, normalised."""
    mean, std = (torch.tensor(c).view(1, 3, 1, 1) for c in (mean, std))
    with torch.no_grad():
        return net((image(side) - mean) / std)[0][0].tolist()
