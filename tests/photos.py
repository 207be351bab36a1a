"""Photographs that installed packages ship, and crops of them in many sizes: what made images don't show."""

from pathlib import Path

import numpy as np
from PIL import Image


def photos():
    """Three photographs as RGB images: 640 x 427 (twice, scikit-learn) and 512 x 600 (matplotlib)."""
    import matplotlib
    import sklearn.datasets

    shipped = Path(sklearn.datasets.__file__).parent / "images"
    files = [shipped / "china.jpg", shipped / "flower.jpg"]
    files.append(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg")
    return [Image.open(file).convert("RGB") for file in files]


def mixed(count, seed=0, smallest=150):
    """Crops of the photographs: wide, tall and square, some with a side under 299 pixels, two of 640 x 425."""
    rng, sources = np.random.default_rng(seed), photos()
    crops = []
    for index in range(count):
        source = sources[index % 3]
        width, height = (int(rng.integers(smallest, side + 1)) for side in source.size)
        if index in (0, 1):
            width, height = 640, 425  # 215 pixels too long: half of it is 107.5, which two rules round apart
        left, top = (
            int(rng.integers(0, side - part + 1)) for side, part in zip(source.size, (width, height), strict=True)
        )
        crops.append(source.crop((left, top, left + width, top + height)))
    return crops


def write(folder, images, kind="png", name="img{:03d}", names=(), **options):
    """Files of the images in a new folder, by a pattern or by names."""
    folder.mkdir(parents=True)
    names = names or [name.format(index) for index in range(len(images))]
    for stem, image in zip(names, images, strict=True):
        image.save(folder / f"{stem}.{kind}", **options)
    return folder
