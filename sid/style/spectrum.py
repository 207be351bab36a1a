"""The two changes of style keys and values: singular values of X [..., N, D], N tokens of width D, are damped.

CS-SVD keeps the k largest and turns the others into beta e^(-a sigma) sigma; SS-CFG turns all into e^(-a sigma) sigma.
"""

from __future__ import annotations

import torch
from torch import Tensor


def damped(x: Tensor, k: int, a: float, beta: float = 1.0) -> Tensor:
    """X with all but its k largest singular values sigma replaced by beta e^(-a sigma) sigma, in the dtype of X.

    Computed in float64, as a correction of X: what is not damped stays as it is, bit for bit. Where sigma_k equals
    sigma_k+1, which of the two is kept is as arbitrary as the decomposition.
    """
    if k >= min(x.shape[-2:]) or (a == 0 and beta == 1):
        return x
    left, values, right = torch.linalg.svd(x.double(), full_matrices=False)
    change = (beta * torch.expm1(-a * values) + (beta - 1)) * values
    change[..., :k] = 0
    return (x.double() + (left * change.unsqueeze(-2)) @ right).to(x.dtype)
