"""The smallest true difference between two arms that so many items would have shown.

Source: H. S. Bloom, Minimum detectable effects, Evaluation Review 19 (1995) 547: a two-sided test at 5 % finds a
difference of 1.96 + 0.84 of its standard errors in 80 of 100 experiments.
"""

from statistics import NormalDist

_POWER = 0.8
_STANDARD_ERRORS = NormalDist().inv_cdf(1 - 0.05 / 2) + NormalDist().inv_cdf(_POWER)

#: Of items that only one arm got right, if it is always the same arm: McNemar's p is then 2 / 2^6, and with 5 of them
#: 2 / 2^5, which is above 0.05.
_FEWEST_DIFFERING = 6


def detectable(standard_error: float) -> float:
    """In the unit of the standard error, which is that of the paired difference."""
    return _STANDARD_ERRORS * standard_error


def detectable_share(standard_error: float, items: int) -> float:
    """The same of right and wrong, judged by McNemar's test: no less than the fewest items that it tells apart.

    Arms that differ on no item have no spread to go by; the floor holds for them too. 1 is the largest there is.
    """
    return min(1.0, max(detectable(standard_error), _FEWEST_DIFFERING / items))
