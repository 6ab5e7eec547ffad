"""The picture files of a golden folder: augmentation of small images, resizing and decoding of larger ones, by Pillow.

torchvision's transforms call these functions of Pillow with the choices that they drew.
"""

import numpy as np
from PIL import Image, ImageEnhance

COLOURS = {"brightness": ImageEnhance.Brightness, "contrast": ImageEnhance.Contrast, "saturation": ImageEnhance.Color}
EIGENVALUES = np.array([0.2175, 0.0188, 0.0045], np.float32)
EIGENVECTORS = np.array(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]], np.float32
)


def augmented(folder):
    """Changes of one small image, and the division by 255."""
    g = folder.generator
    image = g.img_u8("data.img", (32, 32, 3))
    padded, out = np.pad(image, ((4, 4), (4, 4), (0, 0))), {"img": image}
    picture = Image.fromarray(image)
    for i, j in ((0, 0), (8, 8), (4, 4), (2, 5), (7, 3)):
        crop = padded[i:i + 32, j:j + 32]
        out |= {f"crop.i{i}.j{j}.flip0": crop, f"crop.i{i}.j{j}.flip1": crop[:, ::-1]}
    for name, change in COLOURS.items():
        for factor in (0.75, 1.0, 1.25, *np.round(0.75 + 0.5 * g.u01(f"data.{name}", (3,)), 4)):
            out[f"{name}.{factor}"] = np.asarray(change(picture).enhance(float(factor)))
    for angle in (-2.0, 0.0, 2.0, *np.round(2 * g.sym("data.rotate", (5,)), 3)):
        out[f"rotate.{angle}"] = np.asarray(picture.rotate(float(angle)))
    out["luma"] = np.asarray(picture.convert("L"))
    out["to_tensor"] = image.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    for k in range(2):
        alpha = (0.05 * g.sym(f"data.lighting{k}", (3,))).astype(np.float32)
        light = (EIGENVECTORS * alpha * EIGENVALUES).sum(1, dtype=np.float32)
        out |= {f"lighting{k}.alpha": alpha, f"lighting{k}.out": out["to_tensor"] + light[:, None, None]}
    choices = [heavy(g, k) for k in range(6)]
    out |= {f"heavy{k}": heavily(image, choice) for k, choice in enumerate(choices)}
    folder.save("data_cifar.safetensors", {name: np.ascontiguousarray(numbers) for name, numbers in out.items()})
    return choices


def heavy(g, k):
    i, j, flip, order = (int(g.labels(f"data.heavy{k}.{what}", 1, n)[0]) for what, n in zip("ijfo", (9, 9, 2, 6)))
    names = list(COLOURS)
    orders = [[a, b, c] for a in names for b in names for c in names if len({a, b, c}) == 3]
    factors = np.round(0.75 + 0.5 * g.u01(f"data.heavy{k}.factors", (3,)), 6)
    angle = float(np.round(2 * g.sym(f"data.heavy{k}.angle", (1,))[0], 6))
    factors = dict(zip(names, map(float, factors)))
    return {"i": i, "j": j, "flip": flip, "order": orders[order], "factors": factors, "angle": angle}


def heavily(image, choice):
    i, j = choice["i"], choice["j"]
    crop = np.pad(image, ((4, 4), (4, 4), (0, 0)))[i:i + 32, j:j + 32]
    picture = Image.fromarray(np.ascontiguousarray(crop[:, ::-1] if choice["flip"] else crop))
    for name in choice["order"]:
        picture = COLOURS[name](picture).enhance(choice["factors"][name])
    return np.asarray(picture.rotate(choice["angle"]))


def painting(g, name, width, height):
    """Smooth colours with some noise: what JPEG is made for."""
    coarse = Image.fromarray(g.img_u8(f"{name}.coarse", (height // 16 + 1, width // 16 + 1, 3)))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int64)
    noise = g.img_u8(f"{name}.noise", (height, width, 3)).astype(np.int64) // 16 - 8
    return Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8))


def resized(folder):
    """A picture without loss, resized as for tests and as for training."""
    g = folder.generator
    picture = painting(g, "data.syn", 412, 301)
    picture.save(folder.path / "syn.png")
    width = 256 * picture.width // picture.height
    left, top = round((width - 224) / 2), 16
    middle = picture.resize((width, 256), Image.Resampling.BILINEAR).crop((left, top, left + 224, top + 224))
    middle.save(folder.path / "syn_resize256_center224.png")
    boxes = []
    for k, (i, j, h, w) in enumerate(((0, 98, 197, 260), (12, 3, 273, 407), (100, 200, 60, 50), (5, 11, 290, 225))):
        file = f"syn_rrc{k}.png"
        cut = picture.crop((j, i, j + w, i + h)).resize((224, 224), Image.Resampling.BILINEAR)
        cut.save(folder.path / file)
        boxes.append({"file": file, "i": i, "j": j, "h": h, "w": w})
    return {"file": "syn.png", "boxes": boxes}


def decoded(folder):
    """JPEG pictures of every kind that ImageNet has, and what they decode to."""
    picture = painting(folder.generator, "data.jpeg", 157, 118)
    kinds = {
        "444": (picture, {"subsampling": 0}),
        "422": (picture, {"subsampling": 1}),
        "420": (picture, {"subsampling": 2}),
        "progressive": (picture, {"progressive": True}),
        "coarse": (picture, {"quality": 30}),
        "restarts": (picture, {"restart_marker_rows": 1}),
        "grey": (picture.convert("L"), {}),
        "cmyk": (picture.convert("CMYK"), {}),
    }
    cases = []
    for kind, (picture, options) in kinds.items():
        file, png = f"decoded_{kind}.jpg", f"decoded_{kind}.png"
        picture.save(folder.path / file, **({"quality": 90} | options))
        Image.open(folder.path / file).convert("RGB").save(folder.path / png)
        cases.append({"file": file, "png": png})
    return cases


def make(folder):
    """All picture files of the folder."""
    choices = augmented(folder)
    folder.save_json("data.json", {"heavy": choices, "syn": resized(folder), "decoded": decoded(folder)})
