"""Which rows are held out."""

import numpy as np
from sklearn.model_selection import check_cv

# Of many rows, one part held out tells enough; of few, all are held out once.
SINGLE_SPLIT_ROWS, THREE_FOLDS_ROWS = 2500, 500
SMALLEST_HOLDOUT, HOLDOUT_SHARE = 600, 9


def is_splitter(cv):
    """Tell whether folds come from an object of scikit-learn's or the user's."""
    return not (cv is None or isinstance(cv, int | np.integer))


def given_folds(cv, X, groups):
    """Return the folds of a splitter.

    Parameters
    ----------
    cv : splitter or iterable
        Whatever :func:`sklearn.model_selection.check_cv` takes.

    X : ndarray of shape (n_samples, n_features)
        Rows.

    groups : ndarray of shape (n_samples,) or None
        Groups of rows.

    Returns
    -------
    folds : list of (ndarray, ndarray)
        Masks of the rows to fit and to score.

    Raises
    ------
    ValueError
        If a fold has no rows, or fits to rows or groups that it scores.
    """
    folds = []
    for train, test in check_cv(cv).split(X, None, groups):
        fold = np.zeros((2, len(X)), bool)
        fold[0, train] = fold[1, test] = True
        if not fold.any(axis=1).all():
            raise ValueError("cv gives a fold without rows to fit or to hold out.")
        if fold.all(axis=0).any():
            raise ValueError(
                "cv gives a fold that holds out rows it is fitted on; weights would "
                "be learned from what members remember. Use disjoint parts."
            )
        if groups is not None and np.isin(groups[fold[1]], groups[fold[0]]).any():
            raise ValueError(
                "cv gives a fold that holds out rows of a group it is fitted on. Use "
                "a splitter of groups such as GroupKFold, or an int."
            )
        folds.append(fold)
    return folds


def make_folds(n_rows, cv, random_state, *, groups=None, together=None):
    """Return training and held-out rows of each fold.

    Parameters
    ----------
    n_rows : int
        Number of rows.

    cv : int or None
        Number of folds. None means one split from 2500 rows on if there are no
        groups, three folds from 500 on, five below; never more than groups.

    random_state : RandomState instance
        Draws the folds.

    groups : ndarray of shape (n_rows,), default=None
        Rows of a group are held out together, in folds of nearly equal sizes.

    together : ndarray of shape (n_rows,), default=None
        Numbers of rows that are copies of each other, if there are no groups.

    Returns
    -------
    folds : list of (ndarray, ndarray)
        Masks of the rows to fit and to score.

    Raises
    ------
    ValueError
        If there is one group only, or there are fewer groups than folds.
    """
    unit = together if groups is None else groups
    unit = np.arange(n_rows) if unit is None else unit
    n_units = int(unit.max()) + 1
    if n_units < 2:
        raise ValueError(
            "There is one group of rows, or one row and its copies, so that nothing "
            "can be held out. Pass groups=None if rows are independent, or give finer "
            "groups."
        )
    if cv is not None and not 2 <= cv <= n_units:
        raise ValueError(
            f"cv={cv} must be at least 2 and at most {n_units}, the number of groups "
            "or distinct rows."
        )
    order = random_state.permutation(n_units)
    if cv is None and groups is None and n_units >= SINGLE_SPLIT_ROWS:
        n_held_out = max(SMALLEST_HOLDOUT, n_units // HOLDOUT_SHARE)
        held_out = np.isin(unit, order[:n_held_out])
        return [(~held_out, held_out)]
    wanted = (3 if n_units >= THREE_FOLDS_ROWS else 5) if cv is None else cv
    if groups is not None and cv is None:
        wanted = 3 if n_rows >= THREE_FOLDS_ROWS else 5
    n_folds = min(wanted, n_units)
    fold = np.empty(n_units, int)
    fold[order] = np.arange(n_units) % n_folds
    if groups is not None:
        fold = _balanced(order, np.bincount(unit), n_folds)
    return [(fold[unit] != j, fold[unit] == j) for j in range(n_folds)]


def _balanced(order, sizes, n_folds):
    """Put groups, the largest first, into the fold of the fewest rows."""
    order = order[np.argsort(-sizes[order], kind="stable")]
    rows, fold = np.zeros(n_folds), np.empty(len(order), int)
    for group in order:
        fold[group] = rows.argmin()
        rows[fold[group]] += sizes[group]
    return fold


def copies(X):
    """Number the distinct rows from 0."""
    return np.unique(X, axis=0, return_inverse=True)[1].ravel()


def distinct_rows(X, sample_weight, kinds=None):
    """Count copies of a row as its weight, if they are of the same kind.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows.

    sample_weight : ndarray of shape (n_samples,) or None
        Weights of the rows.

    kinds : ndarray of shape (n_samples, n_kinds), default=None
        Numbers that copies must share: groups, or the folds they are in.

    Returns
    -------
    first : ndarray of shape (n_rows,)
        Where the distinct rows stand, in their order.

    sample_weight : ndarray of shape (n_rows,) or None
        Their weights; None if all are one.
    """
    keyed = X if kinds is None else np.column_stack([X, kinds])
    _, first, copy = np.unique(keyed, axis=0, return_index=True, return_inverse=True)
    weight = np.bincount(copy.ravel(), sample_weight).astype(np.float64)
    return first, None if (weight == 1).all() else weight
