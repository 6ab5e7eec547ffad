"""Whole networks: outputs and gradients."""

import numpy as np
import torch
import torch.nn.functional as F

from networks import DTYPES, NARROW, NETS, NORMALISERS, network

# Input gradients of narrow networks are told at so many positions.
POSITIONS = 512


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
