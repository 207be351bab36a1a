"""The Inception of 2015-12-05 in the 566-key layout that pytorch-fid and torch-fidelity publish.

Szegedy et al., 1512.00567, as TensorFlow froze it: average pools leave the padding out, the last block pools by
maximum, and the classifier has 1008 outputs. Weights load by name; a batch norm is folded into its convolution.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BATCH_NORM_EPS = 1e-3
TAPS = ("64", "192", "768", "pool3", "logits_unbiased", "logits")
CLASSES = 1008


class ConvBN(nn.Module):
    """Convolution, batch norm, ReLU; after `fold` a convolution with a bias and ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int | tuple[int, int], stride: int = 1, pad: bool = True):
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (sides[0] // 2, sides[1] // 2) if pad else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, sides, stride, padding, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(outputs, eps=BATCH_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)

    def fold(self) -> None:
        """gamma (Wx - m) / s + b = (gamma/s) Wx + (b - gamma m / s), in float64."""
        norm = self.bn
        assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        weight = self.conv.weight.double() * scale[:, None, None, None]
        bias = norm.bias.double() - norm.running_mean.double() * scale
        self.conv.weight = nn.Parameter(weight.float(), requires_grad=False)
        self.conv.bias = nn.Parameter(bias.float(), requires_grad=False)
        self.bn = nn.Identity()


def average(x: Tensor) -> Tensor:
    """3x3, the padding not counted."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class InceptionBlock(nn.Module):
    """Concatenates parallel branches; a branch is a chain of named convolutions after an optional pool."""

    def chain(self, x: Tensor, *names: str) -> Tensor:
        for name in names:
            x = getattr(self, name)(x)
        return x


class BlockA(InceptionBlock):
    """35 x 35."""

    def __init__(self, inputs: int, pooled: int):
        super().__init__()
        self.branch1x1 = ConvBN(inputs, 64, 1)
        self.branch5x5_1, self.branch5x5_2 = ConvBN(inputs, 48, 1), ConvBN(48, 64, 5)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = ConvBN(inputs, 64, 1), ConvBN(64, 96, 3)
        self.branch3x3dbl_3 = ConvBN(96, 96, 3)
        self.branch_pool = ConvBN(inputs, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        five = self.chain(x, "branch5x5_1", "branch5x5_2")
        three = self.chain(x, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")
        return torch.cat([self.branch1x1(x), five, three, self.branch_pool(average(x))], 1)


class BlockB(InceptionBlock):
    """35 x 35 to 17 x 17."""

    def __init__(self, inputs: int):
        super().__init__()
        self.branch3x3 = ConvBN(inputs, 384, 3, stride=2, pad=False)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = ConvBN(inputs, 64, 1), ConvBN(64, 96, 3)
        self.branch3x3dbl_3 = ConvBN(96, 96, 3, stride=2, pad=False)

    def forward(self, x: Tensor) -> Tensor:
        double = self.chain(x, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, stride=2)], 1)


class BlockC(InceptionBlock):
    """17 x 17 with kernels of 1x7 and 7x1."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.branch1x1 = ConvBN(inputs, 192, 1)
        self.branch7x7_1, self.branch7x7_2 = ConvBN(inputs, width, 1), ConvBN(width, width, (1, 7))
        self.branch7x7_3 = ConvBN(width, 192, (7, 1))
        self.branch7x7dbl_1, self.branch7x7dbl_2 = ConvBN(inputs, width, 1), ConvBN(width, width, (7, 1))
        self.branch7x7dbl_3, self.branch7x7dbl_4 = ConvBN(width, width, (1, 7)), ConvBN(width, width, (7, 1))
        self.branch7x7dbl_5 = ConvBN(width, 192, (1, 7))
        self.branch_pool = ConvBN(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        single = self.chain(x, *(f"branch7x7_{step}" for step in (1, 2, 3)))
        double = self.chain(x, *(f"branch7x7dbl_{step}" for step in (1, 2, 3, 4, 5)))
        return torch.cat([self.branch1x1(x), single, double, self.branch_pool(average(x))], 1)


class BlockD(InceptionBlock):
    """17 x 17 to 8 x 8."""

    def __init__(self, inputs: int):
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = ConvBN(inputs, 192, 1), ConvBN(192, 320, 3, stride=2, pad=False)
        self.branch7x7x3_1, self.branch7x7x3_2 = ConvBN(inputs, 192, 1), ConvBN(192, 192, (1, 7))
        self.branch7x7x3_3 = ConvBN(192, 192, (7, 1))
        self.branch7x7x3_4 = ConvBN(192, 192, 3, stride=2, pad=False)

    def forward(self, x: Tensor) -> Tensor:
        three = self.chain(x, "branch3x3_1", "branch3x3_2")
        seven = self.chain(x, *(f"branch7x7x3_{step}" for step in (1, 2, 3, 4)))
        return torch.cat([three, seven, F.max_pool2d(x, 3, stride=2)], 1)


class BlockE(InceptionBlock):
    """8 x 8; `largest` pools by maximum, as the last block of the frozen network does."""

    def __init__(self, inputs: int, largest: bool):
        super().__init__()
        self.largest = largest
        self.branch1x1 = ConvBN(inputs, 320, 1)
        self.branch3x3_1 = ConvBN(inputs, 384, 1)
        self.branch3x3_2a, self.branch3x3_2b = ConvBN(384, 384, (1, 3)), ConvBN(384, 384, (3, 1))
        self.branch3x3dbl_1, self.branch3x3dbl_2 = ConvBN(inputs, 448, 1), ConvBN(448, 384, 3)
        self.branch3x3dbl_3a, self.branch3x3dbl_3b = ConvBN(384, 384, (1, 3)), ConvBN(384, 384, (3, 1))
        self.branch_pool = ConvBN(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        three, double = self.branch3x3_1(x), self.chain(x, "branch3x3dbl_1", "branch3x3dbl_2")
        split = [self.branch3x3_2a(three), self.branch3x3_2b(three)]
        split += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)]
        pooled = F.max_pool2d(x, 3, stride=1, padding=1) if self.largest else average(x)
        return torch.cat([self.branch1x1(x), *split, self.branch_pool(pooled)], 1)


class Inception(nn.Module):
    """Pixels [N, 3, 299, 299] in about [-1, 1] in, the wanted taps out; nothing after the last tap is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = ConvBN(3, 32, 3, stride=2, pad=False)
        self.Conv2d_2a_3x3 = ConvBN(32, 32, 3, pad=False)
        self.Conv2d_2b_3x3 = ConvBN(32, 64, 3)
        self.Conv2d_3b_1x1 = ConvBN(64, 80, 1)
        self.Conv2d_4a_3x3 = ConvBN(80, 192, 3, pad=False)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = BlockA(192, 32), BlockA(256, 64), BlockA(288, 64)
        self.Mixed_6a = BlockB(288)
        self.Mixed_6b, self.Mixed_6c = BlockC(768, 128), BlockC(768, 160)
        self.Mixed_6d, self.Mixed_6e = BlockC(768, 160), BlockC(768, 192)
        self.Mixed_7a = BlockD(768)
        self.Mixed_7b, self.Mixed_7c = BlockE(1280, largest=False), BlockE(2048, largest=True)
        self.fc = nn.Linear(2048, CLASSES)

    def forward(self, x: Tensor, taps: Iterable[str] = TAPS) -> dict[str, Tensor]:
        wanted = tuple(taps)
        features: dict[str, Tensor] = {}
        stages = {
            "64": ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3"),
            "192": ("Conv2d_3b_1x1", "Conv2d_4a_3x3"),
            "768": ("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
            "pool3": ("Mixed_7a", "Mixed_7b", "Mixed_7c"),
        }
        for tap, names in stages.items():
            for name in names:
                x = getattr(self, name)(x)
            if tap in ("64", "192"):
                x = F.max_pool2d(x, 3, stride=2)
            if tap in wanted or tap == "pool3":
                features[tap] = x.mean((2, 3))
            if set(wanted) <= set(features):
                return {tap: features[tap] for tap in wanted}
        features["logits_unbiased"] = features["pool3"] @ self.fc.weight.T
        features["logits"] = features["logits_unbiased"] + self.fc.bias
        return {tap: features[tap] for tap in wanted}

    def fold(self) -> Inception:
        """Ready for inference: batch norms folded, channels last, frozen."""
        for module in self.modules():
            if isinstance(module, ConvBN):
                module.fold()
        self.eval().requires_grad_(False)
        return self.to(memory_format=torch.channels_last)


def random_state(seed: int) -> dict[str, Tensor]:
    """Random weights in the published layout: He weights, batch norms near the identity; equal on every machine."""
    import numpy as np

    from sid.draws import key

    state = {}
    for name, tensor in Inception().state_dict().items():
        draws = np.random.Generator(np.random.Philox(key=key(seed, name)))
        if name.endswith("num_batches_tracked"):
            made = np.zeros((), dtype=np.int64)
        elif tensor.ndim > 1:
            made = draws.standard_normal(tensor.shape) * (2 / tensor[0].numel()) ** 0.5
        elif name.endswith(("bn.weight", "running_var")):
            made = draws.uniform(0.8, 1.2, tensor.shape)
        else:
            made = 0.1 * draws.standard_normal(tensor.shape)
        state[name] = torch.from_numpy(np.asarray(made)).to(tensor.dtype)
    return state
