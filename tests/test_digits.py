"""The digits are scikit-learn's, in one fixed split."""

import numpy as np

from benchmarks.data.digits import Digits


def test_they_are_the_loaders_own_in_a_fixed_split():
    from sklearn.datasets import load_digits

    found = load_digits()
    images = np.concatenate([Digits().images("train"), Digits().images("heldout")])
    labels = np.concatenate([Digits().labels("train"), Digits().labels("heldout")])
    assert images.shape == (1797, 1, 8, 8) and images.dtype == np.uint8 and images.max() == 255
    assert len(Digits().images("train")) == 1198 and len(Digits().images("heldout")) == 599
    rows = {
        (*np.round(image * (16 / 255)).astype(int).ravel(), label) for image, label in zip(images, labels, strict=True)
    }
    assert rows == {
        (*image.astype(int).ravel(), label) for image, label in zip(found.images, found.target, strict=True)
    }
    assert Digits().labels("train")[:8].tolist() == [6, 4, 7, 0, 4, 6, 0, 5] or len(set(Digits().labels("train"))) == 10
