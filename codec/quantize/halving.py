"""Sums whose order no CPU, thread count or library changes, so that what is decided from them is decided alike."""

from torch import Tensor


def sum_in_halves(x: Tensor, dim: int) -> Tensor:
    """Sum over ``dim``, which stays with length 1: the later half is added to the earlier until one number is left.

    Of n numbers the earlier ceil(n / 2) stand still and the others are added to the first of them, in order.
    """
    while (numbers := x.shape[dim]) > 1:
        left, right = x.split((numbers - numbers // 2, numbers // 2), dim=dim)
        x = left.clone()
        x.narrow(dim, 0, numbers // 2).add_(right)
    return x
