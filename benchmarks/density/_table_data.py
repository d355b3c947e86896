"""Sets and splits of `tables.py`.

Columns are standardised; those with ties are spread by uniform noise of at least a
tenth of a standard deviation, the same in every split; one of two columns that
correlate above 0.98 is dropped, and repeated rows where they are over 1 %. Of at
most 6000 rows, 80 % are fitted to, 10 % may be used for validation, and 10 % test.
"""

from typing import Any, NamedTuple

import numpy as np

from benchmarks.shared.data import FOLDER

MAX_ROWS = 6000
LEAST_NOISE = 0.1
# gas_turbine: the protocol of its source, 2011 to 2013 against 2014 and 2015.
LAST_YEAR = 2013


class Split(NamedTuple):
    """Rows in units of the training rows; groups of the first two parts together."""

    train: Any
    validation: Any
    test: Any
    groups: Any

    @property
    def fitted(self):
        """All rows that a model may see."""
        return np.concatenate([self.train, self.validation])


def read(name):
    """Return the rows of a set with a continuous target as a last column, and groups.

    Groups are recipes (all columns but the age) for concrete and years for
    gas_turbine, elsewhere None.
    """
    with np.load(FOLDER / f"{name}.npz") as file:
        table = dict(file)
    X = table["X"].astype(float)
    if len(np.unique(table.get("y", ()))) > 20:
        X = np.column_stack([X, table["y"].astype(float)])
    first = np.sort(np.unique(X, axis=0, return_index=True)[1])
    if len(first) > 0.99 * len(X):
        first = np.arange(len(X))
    groups = None
    if name == "concrete":
        recipe = table["X"][first, :7]
        groups = np.unique(recipe, axis=0, return_inverse=True)[1].ravel()
    if name == "gas_turbine":
        groups = table["year"][first]
    return X[first], groups


def spread(X):
    """Return standardised columns without ties and near copies."""
    X = X[:, X.std(axis=0) > 1e-9]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    close = np.abs(np.corrcoef(X.T)) > 0.98
    kept = []
    for j in range(X.shape[1]):
        if not close[j, kept].any():
            kept.append(j)
    X, random_state = X[:, kept].copy(), np.random.RandomState(12345)
    for column in X.T:
        values, counts = np.unique(column, return_counts=True)
        if len(values) < len(X) / 2 or counts.max() > 0.01 * len(X):
            width = max(float(np.median(np.diff(values))), LEAST_NOISE)
            column += random_state.uniform(-width / 2, width / 2, len(X))
    return X


def random_split(name, seed):
    """Return a split of rows as if they were independent."""
    X, _ = read(name)
    X = spread(X)
    rows = np.random.RandomState(seed).permutation(len(X))[:MAX_ROWS]
    first, second = int(0.8 * len(rows)), int(0.9 * len(rows))
    parts = rows[:first], rows[first:second], rows[second:]
    return _in_units(X, *parts, None)


def honest_split(name, seed):
    """Return a split by recipe (concrete) or by year (gas_turbine)."""
    X, groups = read(name)
    X = spread(X)
    random_state = np.random.RandomState(seed)
    rows = random_state.permutation(len(X))
    if name == "gas_turbine":
        past, future = rows[groups[rows] <= LAST_YEAR], rows[groups[rows] > LAST_YEAR]
        last = past[groups[past] == LAST_YEAR]
        early = past[groups[past] < LAST_YEAR]
        parts = early[:4800], last[:600], future[:600]
    else:
        order = random_state.permutation(groups.max() + 1)
        share = np.searchsorted([0.8, 0.9], np.argsort(order) / len(order), "right")
        parts = [rows[share[groups[rows]] == i] for i in range(3)]
    return _in_units(X, *parts, groups)


def _in_units(X, train, validation, test, groups):
    loc, scale = X[train].mean(axis=0), X[train].std(axis=0) + 1e-12
    parts = [(X[rows] - loc) / scale for rows in (train, validation, test)]
    seen = np.concatenate([train, validation])
    return Split(*parts, None if groups is None else groups[seen])
