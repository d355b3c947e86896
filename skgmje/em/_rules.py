"""Parameters of the functions of EM, checked before work starts."""

from numbers import Integral, Real

import numpy as np

from skgmje._backend import from_tensor


def _is_amount(value):
    return isinstance(value, Real) and 0 <= value < np.inf


def _is_count(value):
    return isinstance(value, Integral) and value >= 0


# Of each parameter what it may be, and how that is said.
RULES = {
    "annealing": (
        lambda value: value is None or (_is_amount(value) and 0 < value <= 1),
        "None, or a positive number up to 1",
    ),
    "max_iter": (_is_count, "an integer from 0 on"),
    "rank": (lambda value: _is_count(value) and value > 0, "an integer from 1 on"),
    "shrinkage": (_is_amount, "a finite number from 0 on"),
    "temper": (lambda value: _is_amount(value) and value > 0, "a positive number"),
    # Below zero EM takes all its steps.
    "tol": (lambda value: isinstance(value, Real) and value == value, "a number"),
}


def check_rules(**given):
    """Raise if a parameter, by its name, has a value that it must not have."""
    for name, value in given.items():
        is_valid, words = RULES[name]
        if not is_valid(value.item() if getattr(value, "ndim", 1) == 0 else value):
            raise ValueError(f"{name}={value!r} must be {words}.")


def check_reg_covar(reg_covar, n_features):
    """Return what is added to the diagonals as an array (n_features,)."""
    try:
        added = np.asarray(from_tensor(reg_covar), np.float64)
    except (TypeError, ValueError):
        added = np.array(np.nan)
    fits = added.shape in ((), (1,), (n_features,))
    if not (fits and ((added >= 0) & (added < np.inf)).all()):
        raise ValueError(
            f"reg_covar={reg_covar!r} must be a finite number from 0 on, or "
            f"{n_features} of them, one for each feature."
        )
    return np.broadcast_to(added, (n_features,))
