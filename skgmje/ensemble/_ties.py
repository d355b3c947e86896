"""Columns whose values repeat, and noise that makes them continuous."""

import warnings

import numpy as np

# Above this share of repeated values a likelihood says little; an atom is one
# value that holds so much of a column.
TIE_SHARE, ATOM_SHARE = 0.05, 0.01
# Noise is at least so wide, in standard deviations.
_LEAST_WIDTH = 0.01


def tie_shares(X):
    """Return the share of values that repeat others, and of the commonest value.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows.

    Returns
    -------
    ties, atoms : ndarray of shape (n_features,)
        Shares of each column.
    """
    counts = [np.unique(column, return_counts=True)[1] for column in X.T]
    ties = [1 - len(count) / len(X) for count in counts]
    atoms = [count.max() / len(X) for count in counts]
    return np.array(ties), np.array(atoms)


def warn_about_ties(ties, atoms):
    """Warn of columns in which a density has no bound but the regularisation."""
    constant = np.flatnonzero(atoms == 1)
    if len(constant):
        warnings.warn(
            f"StackingDensity: the columns {constant.tolist()} are constant; their "
            "density is that of the regularisation, a Gaussian of a standard "
            "deviation of 0.003 in their own units. Drop them.",
            UserWarning,
            stacklevel=3,
        )
    tied = np.flatnonzero((ties > TIE_SHARE) & (atoms < 1))
    if len(tied):
        shares = ", ".join(f"{j} ({ties[j]:.0%})" for j in tied)
        warnings.warn(
            f"StackingDensity: values repeat in the columns {shares}. A log-likelihood "
            "of ties measures how narrow components may be. Set dequantize=True, "
            "which spreads them, or drop these columns.",
            UserWarning,
            stacklevel=3,
        )


def dequantize(X, ties, atoms, random_state):
    """Spread the values of columns with ties by uniform noise.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows, float64.

    ties, atoms : ndarray of shape (n_features,)
        What :func:`tie_shares` returns.

    random_state : RandomState instance
        Source of the noise.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The rows; noise is as wide as the median gap between distinct values, at
        least a hundredth of a standard deviation.

    columns : list of int
        The columns that were spread; constant ones are not.
    """
    X = X.copy()
    wanted = ((ties > TIE_SHARE) | (atoms > max(ATOM_SHARE, 2 / len(X)))) & (atoms < 1)
    for j in np.flatnonzero(wanted):
        gap = float(np.median(np.diff(np.unique(X[:, j]))))
        width = max(gap, _LEAST_WIDTH * float(X[:, j].std()))
        X[:, j] += random_state.uniform(-0.5 * width, 0.5 * width, len(X))
    return X, np.flatnonzero(wanted).tolist()
