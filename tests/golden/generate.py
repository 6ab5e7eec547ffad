"""Makes a golden folder of another seed with PyTorch alone: `generate.py FOLDER [--seed N]`.

The folder of this repository was made by running the reference code, which this script does not need: layers, networks,
losses, optimiser, training steps and attacks are written down once more, in PyTorch, after the same recipes. Run the comparisons on
the result by `RRM_GOLDEN_DIR=FOLDER cargo test -p rrm-train --test golden`. Needs torch, numpy, safetensors and Pillow.
"""

import argparse
import json
import math
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file
from torch import nn

import generate_attacks
import generate_methods
import generate_pictures

MASK = (1 << 64) - 1
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
    "rin_alexnet_w16": (6.0, "rin", 2, 224, 9),
    "rin_resnet50_w16": (3.0, "rin", 2, 224, 9),
    "rin_vgg16_w16": (6.0, "rin", 2, 224, 9),
}
# Input gradients of narrow networks are told at so many positions.
POSITIONS = 512
DTYPES = {"f64": torch.float64, "f32": torch.float32}
REPOSITORY = pathlib.Path(__file__).parent / "data"


def fnv1a64(name):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    return h


class Generator:
    def __init__(self, seed):
        self.seed = seed

    def raw(self, name, count):
        with np.errstate(over="ignore"):
            steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            z = np.uint64(fnv1a64(name) ^ self.seed) + steps
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            return z ^ (z >> np.uint64(31))

    def u01(self, name, shape):
        return ((self.raw(name, math.prod(shape)) >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(shape)

    def sym(self, name, shape):
        return 2.0 * self.u01(name, shape) - 1.0

    def labels(self, name, count, classes):
        return ((self.raw(name, count) >> np.uint64(33)) % np.uint64(classes)).astype(np.int64)

    def img_u8(self, name, shape):
        return np.floor(self.u01(name, shape) * 256).astype(np.uint8)

    def images(self, name, shape, dtype):
        pixels = self.img_u8(name, shape).astype(np.float32) / np.float32(255)
        return torch.from_numpy(pixels).to(dtype)

    def probe(self, name, numbers):
        numbers = numbers.detach().double().numpy().ravel()
        return float(np.dot(numbers, self.sym("probe:" + name, numbers.shape)))

    def weight(self, key, shape, gain):
        if key.endswith("num_batches_tracked"):
            return torch.zeros(shape, dtype=torch.int64)
        sym = self.sym(key, shape)
        if len(shape) >= 2:
            numbers = sym * math.sqrt(gain / math.prod(shape[1:]))
        elif key.endswith("running_var"):
            numbers = 1 + 0.5 * np.abs(sym)
        elif key.endswith(".weight"):
            numbers = 1 + 0.1 * sym
        else:
            numbers = 0.1 * sym
        return torch.from_numpy(numbers.astype(np.float32))


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


class Folder:
    """A golden folder that grows."""

    def __init__(self, path, seed):
        self.path, self.generator, self.teachers = pathlib.Path(path), Generator(seed), Generator(seed + 1)
        self.path.mkdir(parents=True, exist_ok=True)
        self.model = json.loads((REPOSITORY / "index.json").read_text())
        old = str(self.model["seed"])
        self.index = {"seed": seed, "teacher_seed": seed + 1, "files": {}}
        self.reseeded = lambda text: text.replace(str(int(old) + 1), str(seed + 1)).replace(old, str(seed))

    def entry(self, file):
        """The repository's description of the file, with this seed."""
        entry = dict(self.model["files"][file])
        entry.pop("tensors", None)
        return json.loads(self.reseeded(json.dumps(entry)))

    def save(self, file, tensors, entry=None):
        arrays = {k: np.ascontiguousarray(t.detach().numpy() if torch.is_tensor(t) else t) for k, t in tensors.items()}
        save_file(arrays, self.path / file)
        kinds = {k: [str(a.dtype), list(a.shape)] for k, a in sorted(arrays.items())}
        self.index["files"][file] = (entry or self.entry(file)) | {"tensors": kinds}

    def save_json(self, file, content):
        (self.path / file).write_text(json.dumps(content, indent=1))
        self.index["files"][file] = self.entry(file)

    def close(self):
        (self.path / "index.json").write_text(json.dumps(self.index, indent=1))


def examples(folder):
    out, g = {}, folder.generator
    for name in ("features.0.weight", "x.other"):
        raw = g.raw(name, 4)
        out[name] = {
            "seed": g.seed,
            "fnv1a64": f"{fnv1a64(name):016x}",
            "state0": f"{fnv1a64(name) ^ g.seed:016x}",
            "next_u64_hex": [f"{int(n):016x}" for n in raw],
            "u01": g.u01(name, (4,)).tolist(),
            "sym": g.sym(name, (4,)).tolist(),
        }
    w = g.weight("features.0.weight", [32, 3, 3, 3], 6.0).numpy().ravel()
    out["features.0.weight as conv [32,3,3,3], gain 6"] = {
        "f32_first4": [float(x) for x in w[:4]],
        "f32_first4_bits": [f"{int(x):08x}" for x in w[:4].view(np.uint32)],
        "f64_sum_of_f32": float(w.astype(np.float64).sum()),
    }
    out["labels('y.other', 8, 10)"] = g.labels("y.other", 8, 10).tolist()
    out["img_u8('x.other',(1,3,2,2))"] = g.img_u8("x.other", (12,)).tolist()
    folder.save_json("generator.json", out)


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


def models(folder):
    g, metas = folder.generator, {}
    for name, (gain, normaliser, _) in NETS.items():
        out = {"labels": g.labels(f"models.{name}.y", 4, 10)}

        def tell(suffix, gradient):
            name, told = ("", gradient) if suffix == "f64" else ("_img0", gradient[:1])
            out[f"eval.input_grad{name}.{suffix}"] = told

        metas[name] = model(g, name, (4, 3, 32, 32), out, tell) | {"classes": 10, "weight_gain": gain}
        metas[name] |= {"normaliser": normaliser}
        folder.save(f"model_{name}.safetensors", out)
        if name != "resnet18":
            clamp(folder, name)
    for name in NARROW:
        metas[name] = narrow(folder, name)
    folder.save_json("models_meta.json", metas)


def model(g, name, shape, out, tell_gradient):
    """Fills `out` with a network's numbers; returns what is told of the network itself."""
    grads = {}
    for suffix, dtype in DTYPES.items():
        net = network(g, name, dtype)
        x = g.images(f"models.{name}.x", shape, dtype)
        tell_gradient(suffix, evaluate(g, net, x, out["labels"], out, suffix))
        grads[suffix] = train_once(g, net, x, out["labels"], out, suffix)
    state = {key: list(t.shape) for key, t in net.net.state_dict().items()}
    trainable = [key for key, _ in net.net.named_parameters()]
    count = sum(p.numel() for p in net.net.parameters())
    return {"parameters": count, "state_tensors": len(state), "trainable": trainable, "state": state, "grads": grads}


def narrow(folder, name):
    g, (gain, normaliser, count, side, classes) = folder.generator, NARROW[name]
    shape = (count, 3, side, side)
    drawn = g.raw(f"models.{name}.positions", POSITIONS) % np.uint64(3 * side * side)
    positions = np.unique(drawn.astype(np.int64))
    out = {"labels": g.labels(f"models.{name}.y", count, classes), "input_grad_sub_positions": positions}

    def tell(suffix, gradient):
        out[f"eval.input_grad_sub.{suffix}"] = gradient.flatten(1)[:, torch.from_numpy(positions)]

    told = model(g, name, shape, out, tell) | {"classes": classes, "weight_gain": gain, "normaliser": normaliser}
    mean, std = NORMALISERS[normaliser]
    entry = folder.entry("model_vgg11.safetensors") | {
        "code": "tests/golden/generate.py: the network at a sixteenth of its width; dropout by the masks of seed 0 and step 0",
        "parameters": {
            "weights": f"state_dict keys, seed {g.seed}, gain {gain}",
            "input": f"img_u8('models.{name}.x', {list(shape)})/255",
            "labels": f"labels('models.{name}.y')",
            "normaliser": {"mean": mean, "std": std},
        },
    }
    folder.save(f"model_{name}.safetensors", out, entry)
    return told


def evaluate(g, net, x, labels, out, suffix):
    net.eval()
    x = x.clone().requires_grad_()
    logits, latent = net(x)
    loss = F.cross_entropy(logits, torch.from_numpy(labels))
    (gradient,) = torch.autograd.grad(loss, x)
    out |= {f"eval.logits.{suffix}": logits, f"eval.latent.{suffix}": latent, f"eval.ce_mean.{suffix}": loss.reshape(1)}
    out[f"eval.input_grad_l2.{suffix}"] = gradient.flatten(1).norm(dim=1)
    out[f"eval.input_grad_probe.{suffix}"] = np.array([g.probe(f"x{i}", d) for i, d in enumerate(gradient)])
    return gradient


def train_once(g, net, x, labels, out, suffix):
    net.train()
    logits, latent = net(x)
    loss = F.cross_entropy(logits, torch.from_numpy(labels))
    loss.backward()
    out |= {f"train.logits.{suffix}": logits, f"train.latent.{suffix}": latent}
    out[f"train.ce_mean.{suffix}"] = loss.reshape(1)
    for key, buffer in net.net.named_buffers():
        if "running" in key:
            out[f"after1.{key}"] = buffer.float()
    told = {k: {"l2": float(p.grad.double().norm()), "probe": g.probe("g." + k, p.grad)} for k, p in net.net.named_parameters()}
    return {"mode": "train", "ce_mean": float(loss.detach()), "grads": told}


def clamp(folder, name):
    g, out = folder.generator, {}
    x = (g.u01(f"models.{name}.clamp", (2, 3, 32, 32)) * 1.4 - 0.2).astype(np.float32)
    x[:, :, ::5], x[:, :, 2::7] = 0, 1
    out |= {"x": x, "labels": g.labels("models.extra.y", 2, 10)}
    for suffix, dtype in DTYPES.items():
        gradient = evaluate(g, network(g, name, dtype), torch.from_numpy(x).to(dtype), out["labels"], out, suffix)
        out[f"eval.input_grad.{suffix}"] = gradient
    folder.save(f"model_{name}_clamp.safetensors", out)


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    folder = Folder(arguments.folder, arguments.seed)
    for make in (examples, layers, losses, sgd, schedules, models, natural, rrm, sat, fast):
        print(make.__name__, flush=True)
        make(folder)
    generate_methods.make(folder, sys.modules[__name__])
    print("attacks", flush=True)
    generate_attacks.make(folder, lambda name, dtype: network(folder.generator, name, dtype), DTYPES)
    generate_pictures.make(folder)
    folder.close()


if __name__ == "__main__":
    main()
