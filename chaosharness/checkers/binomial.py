"""The exact (Clopper-Pearson) upper bound of a rate, from `k` of `n` independent trials.

Goes in: how many of how many. Comes out: the largest rate that is not refuted at the given confidence, one-sided: the
rate at which `k` or fewer of `n` would be seen with the probability `1 - confidence`. To try it: `upper_bound(0, 82)`
is 0.0359 (the "rule of three" says 3 / 82).
"""

from __future__ import annotations

import math


def upper_bound(k: int, n: int, confidence: float = 0.95) -> float:
    """1.0 where nothing is refuted: of no trials, or where all of them were hit. Raises ValueError for k beyond n."""
    if not 0 <= k <= n or not 0 < confidence < 1:
        raise ValueError(f"expected 0 <= k <= n and a confidence between 0 and 1, found {k} of {n}, {confidence}")
    if k == n:
        return 1.0
    low, high = k / n, 1.0
    while (middle := (low + high) / 2) not in (low, high):
        if at_most(k, n, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def at_most(k: int, n: int, rate: float) -> float:
    """The probability of `k` or fewer of `n` at this rate, which lies between 0 and 1, both excluded."""
    hit, missed = math.log(rate), math.log1p(-rate)
    ways = math.lgamma(n + 1)
    terms = (ways - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * hit + (n - i) * missed for i in range(k + 1))
    return math.fsum(math.exp(term) for term in terms)
