"""A golden folder on its way."""

import json
import pathlib

import numpy as np
import torch
from safetensors.numpy import save_file

from generator import Generator

REPOSITORY = pathlib.Path(__file__).parent / "data"


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
