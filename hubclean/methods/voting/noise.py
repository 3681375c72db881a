"""Votes of federated pruning with noise: local differential privacy of one ballot, without a server that is trusted.

Every participant draws the noise before anything leaves the machine. Ranks have no such form here: noise on an order
has P (P - 1) / 2 pairs to hide where votes have at most P / 2 units, and would leave less of it at the same epsilon.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, isfinite, lgamma
from random import Random, SystemRandom

from hubclean.errors import DataError


def private(given: Sequence[int], epsilon: float, random: Random | None = None) -> tuple[int, ...]:
    """Votes ``(u,)`` with noise, for as many units as before: epsilon-locally differentially private as a whole.

    Of all votes S' for k of u units one is drawn with a probability that grows as exp(epsilon |S' n S| / D), D = min(k,
    u - k) being how far overlaps with the true votes S can lie apart: the exponential mechanism (McSherry and Talwar,
    FOCS 2007), whose normaliser is the same for every S. So any two sets of private images give any ballot with
    probabilities within a factor exp(epsilon). That is for one ballot: each further one of the same images adds its
    epsilon. Weights are computed in floating point, good to nine digits.

    Args:
        epsilon: above 0; at 0 votes would be drawn blindly, without end they are the true ones.
        random: where chance comes from; the system's, without.

    Raises:
        DataError: ``epsilon`` is not a finite number above 0.
    """
    if not (isfinite(epsilon) and epsilon > 0):
        raise DataError("epsilon must be a finite number above 0")
    random = random or SystemRandom()
    chosen = [unit for unit, vote in enumerate(given) if vote]
    others = [unit for unit, vote in enumerate(given) if not vote]
    least, most = max(0, len(chosen) - len(others)), len(chosen)
    if least == most:
        return tuple(given)  # all units or none: there is nothing to tell
    logs = [
        _log_choices(len(chosen), kept) + _log_choices(len(others), most - kept) + epsilon * kept / (most - least)
        for kept in range(least, most + 1)
    ]
    largest = max(logs)
    (kept,) = random.choices(range(least, most + 1), [exp(value - largest) for value in logs])
    drawn = {*random.sample(chosen, kept), *random.sample(others, most - kept)}
    return tuple(int(unit in drawn) for unit in range(len(given)))


def _log_choices(of: int, many: int) -> float:
    return lgamma(of + 1) - lgamma(many + 1) - lgamma(of - many + 1)
