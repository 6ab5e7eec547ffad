"""Writes `checkpoint/`: the smallest files that hold a whole network, for the fuzzer to begin at. Needs nothing but Python.

Every tensor of the two that PyTorch could have written is a view of the same sixteen numbers, so that bytes that are changed
seldom are weights. The one in the project's own form has all its numbers, as safetensors must.
"""

import json
import math
import pathlib
import pickle
import struct
import zipfile
from io import BytesIO

FOLDER = pathlib.Path(__file__).parent / "checkpoint"
NUMBERS = struct.pack("<16f", *[0.4914, 0.4822, 0.4465, 0.2023, 0.1994, 0.2010], *[0.0625 * k for k in range(10)])

# The DNN of a sixteenth of the paper's width.
CONVS = {0: (2, 3), 2: (2, 2), 5: (4, 2), 7: (4, 4), 10: (8, 4), 12: (8, 8)}
SHAPES = {}
for place, (outputs, inputs) in CONVS.items():
    SHAPES |= {f"features.{place}.weight": (outputs, inputs, 3, 3), f"features.{place}.bias": (outputs,)}
SHAPES |= {"features.16.weight": (32, 128), "features.16.bias": (32,), "classifier.weight": (2, 32), "classifier.bias": (2,)}


class Named:
    """A reference to code, which is written and never run."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class View:
    """A tensor on the one storage."""

    def __init__(self, offset, shape, strides):
        self.arguments = (Storage(), offset, shape, strides, False, None)


class Storage:
    pass


class Pickler(pickle._Pickler):
    """The one in Python, since it can be taught to write what is not there."""

    def persistent_id(self, value):
        return ("storage", Named("torch", "FloatStorage"), "0", "cpu", 16) if isinstance(value, Storage) else None

    def save(self, value, *arguments, **options):
        if isinstance(value, Named):
            self.write(f"c{value.module}\n{value.name}\n".encode())
        elif isinstance(value, View):
            self.save(Named("torch._utils", "_rebuild_tensor_v2"))
            self.save(value.arguments)
            self.write(b"R")
        else:
            super().save(value, *arguments, **options)


def pickled(value):
    file = BytesIO()
    Pickler(file, protocol=2).dump(value)
    return file.getvalue()


def state_dict():
    views = {name: View(6, shape, (0,) * len(shape)) for name, shape in SHAPES.items()}
    return {"model": {"mean": View(0, (3,), (1,)), "std": View(3, (3,), (1,)), **views}, "epoch": 3}


def torch_zip():
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        entries = {"data.pkl": pickled(state_dict()), "byteorder": b"little", "data/0": NUMBERS, "version": b"3\n"}
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(f"x/{name}", (1980, 1, 1, 0, 0, 0)), content)
    return file.getvalue()


def torch_legacy():
    machine = {"protocol_version": 1001, "little_endian": True}
    pickles = [0x1950A86A20F9469CFC6C, 1001, machine, state_dict(), ["0"]]
    return b"".join(map(pickled, pickles)) + struct.pack("<Q", 16) + NUMBERS


def own():
    network = {
        "arch": "dnn/16",
        "channels": 3,
        "classes": 2,
        "normalization": "cifar10-madry",
        "representation_width": 32,
    }
    header, begin = {"__metadata__": {"rrm.network": json.dumps(network)}}, 0
    for name, shape in SHAPES.items():
        end = begin + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(begin)


for name, content in {"zip.pt": torch_zip(), "legacy.pt": torch_legacy(), "own.safetensors": own()}.items():
    (FOLDER / name).write_bytes(content)
