"""torchvision's way to the same batches: `peer.py FOLDER EPOCHS WORKERS BATCH`, a turn per line on stdin."""

import sys
import time

import torch
from torchvision import datasets, transforms

EIGENVALUES = torch.tensor([0.2175, 0.0188, 0.0045])
EIGENVECTORS = torch.tensor([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


def lighting(image):
    alpha = torch.empty(3).normal_(0, 0.05)
    return image + (EIGENVECTORS * alpha * EIGENVALUES).sum(1).view(3, 1, 1)


# MadryLab's transforms of ImageNet's training pictures.
TRANSFORMS = transforms.Compose([
    transforms.RandomResizedCrop(224),
    transforms.RandomHorizontalFlip(),
    transforms.ColorJitter(brightness=0.1, contrast=0.1, saturation=0.1),
    transforms.ToTensor(),
    lighting,
])


def main():
    folder, epochs, workers, batch = sys.argv[1], *map(int, sys.argv[2:])
    torch.set_num_threads(1)
    dataset = datasets.ImageFolder(f"{folder}/train", TRANSFORMS)
    dataset = torch.utils.data.ConcatDataset([dataset] * epochs)
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=batch, shuffle=True, num_workers=workers, persistent_workers=True
    )
    for _ in sys.stdin:
        start = time.perf_counter()
        count = sum(len(labels) for _, labels in loader)
        print(count / (time.perf_counter() - start), flush=True)


main()
