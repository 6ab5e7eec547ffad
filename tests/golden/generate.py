"""Makes a golden folder of another seed with PyTorch alone: `generate.py FOLDER [--seed N]`.

The folder of this repository was made by running the reference code, which this script does not need: layers, networks,
losses, optimiser, training steps and attacks are written down once more, in PyTorch, after the same recipes. Run the comparisons on
the result by `RRM_GOLDEN_DIR=FOLDER cargo test -p rrm-train --test golden`. Needs torch, numpy, safetensors and Pillow.
"""

import argparse

import numpy as np

import generate_attacks
import generate_methods
import generate_pictures
from generate_layers import layers, losses, schedules, sgd
from generate_models import models
from generate_trainings import fast, natural, rrm, sat
from generator import fnv1a64
from golden_folder import Folder
from networks import DTYPES, network


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    folder = Folder(arguments.folder, arguments.seed)
    for make in (examples, layers, losses, sgd, schedules, models, natural, rrm, sat, fast):
        print(make.__name__, flush=True)
        make(folder)
    generate_methods.make(folder)
    print("attacks", flush=True)
    generate_attacks.make(folder, lambda name, dtype: network(folder.generator, name, dtype), DTYPES)
    generate_pictures.make(folder)
    folder.close()


if __name__ == "__main__":
    main()
