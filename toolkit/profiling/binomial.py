"""The binomial distribution: how many of a sample lie below a percentile."""

import math

import numpy as np

from toolkit.tensors import Array


def binomial_cdf(trials: int, share: float) -> Array:
    """float64[trials + 1]: probability of at most k successes, for each k.

    Args:
        trials: Zero or more.
        share: Probability of a success, above 0 and below 1.
    """
    k = np.arange(1, trials + 1)
    steps = np.log((trials - k + 1) / k) + math.log(share / (1 - share))
    log_mass = np.concatenate([[0.0], np.cumsum(steps)]) + trials * math.log1p(-share)
    return np.asarray(np.cumsum(np.exp(log_mass)))
