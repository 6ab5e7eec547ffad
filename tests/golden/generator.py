"""Numbers that other languages draw, too: keyed by names, bit by bit the same."""

import math

import numpy as np
import torch

MASK = (1 << 64) - 1


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
