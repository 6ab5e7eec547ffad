"""`load.py ARCH FILE`: has PyTorch load an exported state dict into the reference network, and prints its logits as JSON.

With `--without-adapter` the network is MadryLab's form of a ResNet50.
"""

import argparse
import json

from safetensors.torch import load_file

import networks

parser = argparse.ArgumentParser()
parser.add_argument("arch")
parser.add_argument("file")
parser.add_argument("--without-adapter", action="store_true")
arguments = parser.parse_args()

net = networks.build(arguments.arch)
if arguments.without_adapter:
    net = networks.without_adapter(net)
net.load_state_dict(load_file(arguments.file), strict=True)
side = 32 if arguments.arch.partition("/")[0] in ("dnn", "vgg11", "vgg19", "resnet18", "preactresnet18", "resnet50") else 224
print(json.dumps(networks.logits(net.eval(), side)))
