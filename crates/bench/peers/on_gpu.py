"""Images/s of PyTorch on a GPU, in the rows that `deploy/cuda/gpu-test.sh` has of ours: the faster of both layouts, cuDNN's
algorithms timed (`cudnn.benchmark`), not compiled.

    python on_gpu.py [BATCH]
"""

import sys
import time

import torch

import pytorch

ROUNDINGS = {"f32": ("f32", False), "tf32": ("f32", True), "bf16": ("bf16", False)}


def images_per_second(step, batch, steps):
    """After as many steps again to warm up."""
    for _ in range(steps):
        step()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    torch.cuda.synchronize()
    return batch * steps / (time.perf_counter() - start)


def main():
    batch = int(sys.argv[1]) if len(sys.argv) > 1 else 128
    torch.backends.cudnn.benchmark = True
    for arch in ("resnet18", "vgg11"):
        for mode in ("train", "attack", "eval"):
            for name, (precision, tf32) in ROUNDINGS.items():
                torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
                speeds = {
                    layout: images_per_second(
                        pytorch.work(arch, mode, batch, precision, {"layout": layout, "compile": False}, "cuda"), batch, 30
                    )
                    for layout in ("nchw", "channels_last")
                }
                layout = max(speeds, key=speeds.get)
                print(f"PyTorch {torch.__version__} {arch} {mode} {name}: {speeds[layout]:.0f} images/s ({layout})", flush=True)


if __name__ == "__main__":
    main()
