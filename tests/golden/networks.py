"""The paper's networks, written down once more in PyTorch, with weights that are drawn."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from generator import MASK

NORMALISERS = {
    "madry": ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
    "fast": ([0.4914, 0.4822, 0.4465], [0.2471, 0.2435, 0.2616]),
    "rin": ([0.4717, 0.4499, 0.3837], [0.2600, 0.2516, 0.2575]),
}
NETS = {"dnn": (6.0, "madry", "l_2"), "vgg11": (6.0, "fast", "l_inf"), "resnet18": (3.0, "fast", "l_inf")}
# Networks at a sixteenth of their width, which the reference code has not: gain, normaliser, images, side, classes.
NARROW = {
    "vgg19_w16": (6.0, "madry", 4, 32, 10),
    "resnet50_w16": (3.0, "madry", 4, 32, 10),
    "preactresnet18_w16": (3.0, "fast", 4, 32, 10),
    "rin_alexnet_w16": (6.0, "rin", 2, 224, 9),
    "rin_resnet50_w16": (3.0, "rin", 2, 224, 9),
    "rin_vgg16_w16": (6.0, "rin", 2, 224, 9),
}
DTYPES = {"f64": torch.float64, "f32": torch.float32}


class Clamp(torch.autograd.Function):
    """Passes the gradient on the closed interval."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(0, 1)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * ((x >= 0) & (x <= 1)).to(gradient.dtype)


class Dnn(nn.Module):
    def __init__(self):
        super().__init__()
        layers, channels = [], 3
        for width in (32, 64, 128):
            for _ in range(2):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        layers += [nn.Flatten(), nn.Linear(2048, 512), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(512, 10)

    def forward(self, x):
        latent = self.features(x)
        return self.classifier(latent), latent


class Vgg(nn.Module):
    """VGG for small images, with batch-norm; numbers in `plan` are channels, M a max-pool."""

    def __init__(self, plan, divisor=1):
        super().__init__()
        layers, channels = [], 3
        for width in plan:
            if width == "M":
                layers.append(nn.MaxPool2d(2))
            else:
                width //= divisor
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
                channels = width
        self.features = nn.Sequential(*layers, nn.AvgPool2d(1, 1))
        self.classifier = nn.Linear(channels, 10)

    def forward(self, x):
        latent = self.features(x).flatten(1)
        return self.classifier(latent), latent


VGG11 = (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M")
VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")
VGG19 = (64, 64, "M", 128, 128, "M", *(256,) * 4, "M", *(512,) * 4, "M", *(512,) * 4, "M")


class Block(nn.Module):
    """Two 3x3 convolutions, or a bottleneck that strides in its 3x3; `shortcut` is what the shortcut is called."""

    def __init__(self, channels, width, stride, bottleneck, shortcut):
        super().__init__()
        plan = ((width, 3, stride), (width, 3, 1))
        if bottleneck:
            plan = ((width, 1, 1), (width, 3, stride), (4 * width, 1, 1))
        first, self.count, self.shortcut_name = channels, len(plan), shortcut
        for i, (out, size, step) in enumerate(plan):
            setattr(self, f"conv{i + 1}", nn.Conv2d(channels, out, size, step, size // 2, bias=False))
            setattr(self, f"bn{i + 1}", nn.BatchNorm2d(out))
            channels = out
        skip = ()
        if stride != 1 or first != channels:
            skip = nn.Conv2d(first, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
        setattr(self, shortcut, nn.Sequential(*skip))
        self.width = channels

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = F.relu(y) if i < self.count else y
        return F.relu(y + getattr(self, self.shortcut_name)(x))


class ResNet(nn.Module):
    """The authors' for small images, or torchvision's for large ones; `counts` are the blocks of each layer."""

    def __init__(self, counts, bottleneck, large=False, divisor=1):
        super().__init__()
        channels, self.large = 64 // divisor, large
        stem = (7, 2, 3) if large else (3, 1, 1)
        self.conv1, self.bn1 = nn.Conv2d(3, channels, *stem, bias=False), nn.BatchNorm2d(channels)
        for i, count in enumerate(counts):
            blocks = []
            for j in range(count):
                stride = 2 if i > 0 and j == 0 else 1
                shortcut = "downsample" if large else "shortcut"
                blocks.append(Block(channels, (64 << i) // divisor, stride, bottleneck, shortcut))
                channels = blocks[-1].width
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        if large:
            self.fc = nn.Linear(channels, 9)
            return
        self.added_linear = nn.Sequential() if channels == 512 // divisor else nn.Linear(channels, 512 // divisor)
        self.linear = nn.Linear(512 // divisor, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.max_pool2d(x, 3, 2, 1) if self.large else x
        for i in range(1, 5):
            x = getattr(self, f"layer{i}")(x)
        pooled = x.mean((2, 3))
        if self.large:
            return self.fc(pooled), pooled
        latent = self.added_linear(pooled)
        return self.linear(latent), latent


class PreActBlock(nn.Module):
    """fast_adversarial's: batch-norm and ReLU before each convolution; the shortcut is of the block's input."""

    def __init__(self, channels, width, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(channels), nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, 1, 1, bias=False)
        fits = stride == 1 and channels == width
        self.shortcut = nn.Sequential(*(() if fits else (nn.Conv2d(channels, width, 1, stride, bias=False),)))

    def forward(self, x):
        y = self.conv1(F.relu(self.bn1(x)))
        return self.conv2(F.relu(self.bn2(y))) + self.shortcut(x)


class PreActResNet18(nn.Module):
    """fast_adversarial's (Wong, Rice & Kolter 2020)."""

    def __init__(self, divisor=1):
        super().__init__()
        channels = 64 // divisor
        self.conv1 = nn.Conv2d(3, channels, 3, 1, 1, bias=False)
        for i in range(4):
            width, blocks = (64 << i) // divisor, []
            for j in range(2):
                blocks.append(PreActBlock(channels, width, 2 if i > 0 and j == 0 else 1))
                channels = width
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.bn, self.linear = nn.BatchNorm2d(channels), nn.Linear(channels, 10)

    def forward(self, x):
        x = self.conv1(x)
        for i in range(1, 5):
            x = getattr(self, f"layer{i}")(x)
        latent = F.avg_pool2d(F.relu(self.bn(x)), 4).flatten(1)
        return self.linear(latent), latent


def mixed(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def absorbed(state, key):
    gamma = 0x9E3779B97F4A7C15
    return mixed(((state + gamma) & MASK) ^ mixed((key + gamma) & MASK))


class Dropout(nn.Module):
    """A half of the numbers, by the masks of rrm-models: keyed by seed 0, step 0 and the mask's number among all layers'."""

    def __init__(self, masks):
        super().__init__()
        self.masks = masks

    def forward(self, x):
        if not self.training:
            return x
        self.masks.append(len(self.masks) + 1)
        key = absorbed(absorbed(absorbed(0, 0), 0), self.masks[-1])
        with np.errstate(over="ignore"):
            z = np.uint64(key) + np.arange(1, x.numel() + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        kept = (z ^ (z >> np.uint64(31))) >= np.uint64(1 << 63)
        return x * torch.from_numpy(2.0 * kept).reshape(x.shape).to(x.dtype)


class AlexNet(nn.Module):
    """torchvision's with a second hidden layer of 2048."""

    def __init__(self, divisor=1):
        super().__init__()
        layers, channels, masks = [], 3, []
        for width, size, stride, padding, pool in (
            (64, 11, 4, 2, True), (192, 5, 1, 2, True), (384, 3, 1, 1, False), (256, 3, 1, 1, False), (256, 3, 1, 1, True)
        ):
            layers += [nn.Conv2d(channels, width // divisor, size, stride, padding), nn.ReLU()]
            layers += [nn.MaxPool2d(3, 2)] if pool else []
            channels = width // divisor
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        hidden, latent = 4096 // divisor, 2048 // divisor
        first = Dropout(masks), nn.Linear(channels * 36, hidden), nn.ReLU()
        self.classifier = nn.Sequential(*first, Dropout(masks), nn.Linear(hidden, latent))
        self.last_layer = nn.Linear(latent, 9)

    def forward(self, x):
        latent = F.relu(self.classifier(self.avgpool(self.features(x)).flatten(1)))
        return self.last_layer(latent), latent


class Vgg16(nn.Module):
    """torchvision's with a second hidden layer of 2048."""

    def __init__(self, divisor=1):
        super().__init__()
        layers, channels, masks = [], 3, []
        for width in VGG16:
            if width == "M":
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, width // divisor, 3, padding=1), nn.ReLU()]
                channels = width // divisor
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        hidden, latent = 4096 // divisor, 2048 // divisor
        first = nn.Linear(channels * 49, hidden), nn.ReLU(), Dropout(masks)
        second = nn.Linear(hidden, latent), nn.ReLU(), Dropout(masks)
        self.classifier = nn.Sequential(*first, *second, nn.Linear(latent, 9))

    def forward(self, x):
        latent = self.classifier[:5](self.avgpool(self.features(x)).flatten(1))
        return self.classifier[5:](latent), latent


BUILDERS = {
    "dnn": Dnn,
    "vgg11": lambda: Vgg(VGG11),
    "resnet18": lambda: ResNet((2, 2, 2, 2), False),
    "vgg19_w16": lambda: Vgg(VGG19, 16),
    "preactresnet18_w16": lambda: PreActResNet18(16),
    "resnet50_w16": lambda: ResNet((3, 4, 6, 3), True, divisor=16),
    "rin_alexnet_w16": lambda: AlexNet(16),
    "rin_resnet50_w16": lambda: ResNet((3, 4, 6, 3), True, True, 16),
    "rin_vgg16_w16": lambda: Vgg16(16),
}


class Wrapped(nn.Module):
    def __init__(self, net, normaliser, dtype):
        super().__init__()
        self.net = net
        self.mean, self.std = (torch.tensor(c, dtype=dtype).view(1, 3, 1, 1) for c in NORMALISERS[normaliser])

    def forward(self, x):
        return self.net((Clamp.apply(x) - self.mean) / self.std)


def network(generator, name, dtype, normaliser=None):
    net = BUILDERS[name]()
    gain, usual = (NETS | NARROW)[name][:2]
    net.load_state_dict({key: generator.weight(key, list(t.shape), gain) for key, t in net.state_dict().items()})
    return Wrapped(net.to(dtype), normaliser or usual, dtype)
