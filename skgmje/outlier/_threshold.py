"""Which scores are those of outliers."""

import numpy as np

# Share of outliers that contamination="auto" stands for.
AUTO_CONTAMINATION = 0.1


def threshold(scores, weight, contamination):
    """Return the score that a share of the rows, by weight, lies below.

    It is finite if any score is: differences from -inf would be NaN.
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
    return float(ranked[max(min(first, len(ranked) - 1), finite[0])])
