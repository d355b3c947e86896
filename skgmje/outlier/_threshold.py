"""Which scores are those of outliers."""

import numpy as np

# Share of outliers that contamination="auto" stands for.
AUTO_CONTAMINATION = 0.1
# What scores of one sample may differ by, relative to them: its place in a batch
# changes the last digits.
ROUNDING = 1e-9


def rounding(scores):
    """Return what finite scores may differ by for the same sample, zero of others."""
    size = np.where(np.isfinite(scores), np.abs(scores), 0.0)
    return ROUNDING * np.where(np.isfinite(scores), np.maximum(size, 1.0), 0.0)


def threshold(scores, weight, contamination):
    """Return the score that a share of the rows, by weight, lies below.

    It is finite if any score is: differences from -inf would be NaN. It is lower by
    what rounding may take from the sample that it belongs to.
    """
    share = AUTO_CONTAMINATION if contamination == "auto" else contamination
    order = np.argsort(scores)
    mass = np.ones(len(scores)) if weight is None else weight[order]
    below = np.cumsum(mass, dtype=np.float64)
    # The product may be a little less than the whole number that it should be.
    wanted = share * below[-1] * (1 + 1e-12)
    first = np.searchsorted(below, wanted, side="right")
    ranked = scores[order]
    finite = np.flatnonzero(np.isfinite(ranked))
    if not len(finite):
        raise ValueError(
            "The density gives none of the rows to fit a finite score. Use another "
            "density."
        )
    score = ranked[max(min(first, len(ranked) - 1), finite[0])]
    return float(score - rounding(score))
