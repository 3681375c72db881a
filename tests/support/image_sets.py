"""Image sets for tests: seeded noise with a class-coloured square, learnable in seconds; and the same as pictures."""

from __future__ import annotations

from pathlib import Path

import torch

from hubclean.nets.images import DefenseData, ImageSet


def image_set(count: int = 48, classes: int = 10, shape: tuple[int, int, int] = (3, 32, 32), seed: int = 0) -> ImageSet:
    """``count`` images whose label is the place of a bright square."""
    generator = torch.Generator().manual_seed(seed)
    channels, height, width = shape
    pixels = torch.randint(0, 96, (count, channels, height, width), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % classes
    side = max(2, height // 8)
    for row, label in enumerate(labels.tolist()):
        top, left = (label // 4) * (height // 4), (label % 4) * (width // 4)
        pixels[row, :, top : top + side, left : left + side] = 250
    return ImageSet(pixels, labels)


def defense_data(classes: int = 10, shape: tuple[int, int, int] = (3, 32, 32)) -> DefenseData:
    return DefenseData(image_set(40, classes, shape, 1), image_set(40, classes, shape, 2))


def class_folders(place: Path, images: ImageSet) -> Path:
    """The images as PNG files in a folder for each class, ``thing N``; grey, RGB or RGBA."""
    from PIL import Image

    for index, (pixels, label) in enumerate(zip(images.pixels, images.labels.tolist(), strict=True)):
        folder = place / f"thing {label}"
        folder.mkdir(parents=True, exist_ok=True)
        values = pixels.permute(1, 2, 0).numpy()
        Image.fromarray(values[..., 0] if len(pixels) == 1 else values).save(folder / f"{index}.png")
    return place


def answered_folders(place: Path, repo: Path, count: int = 120, seed: int = 0) -> Path:
    """Plain-coloured pictures in a folder for each label that the model at ``repo`` gives them: it is always right.

    Two pictures a label at least; nets with random weights tell a few colours apart.
    """
    import numpy as np
    from PIL import Image

    from hubclean.hub.repos import LocalRepo
    from hubclean.nets.construction.preprocessing import preprocessing
    from hubclean.nets.loading import load_checkpoint

    checkpoint = load_checkpoint(LocalRepo(repo))
    prepare = preprocessing(repo, checkpoint.facts)
    draw = np.random.default_rng(seed)
    colours = draw.integers(0, 256, (count, 1, 1, 3)).astype(np.uint8)
    pictures = [Image.fromarray(np.broadcast_to(colour, (40, 40, 3)).copy()) for colour in colours]
    with torch.no_grad():
        pixels = torch.stack([prepare(picture) for picture in pictures]).float() / 255
        answers = checkpoint.model(pixels).argmax(1).tolist()
    for index, (picture, answer) in enumerate(zip(pictures, answers, strict=True)):
        if answers.count(answer) > 1:
            folder = place / checkpoint.labels[answer]
            folder.mkdir(parents=True, exist_ok=True)
            picture.save(folder / f"{index}.png")
    return place
