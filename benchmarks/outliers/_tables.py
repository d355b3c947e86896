"""Six tables of real anomalies, and some to check.

The six come from the folder that ``SKGMJE_DATA`` names. The others ship with
scikit-learn, rare classes being outliers, or are generated. Two settings owe
something to them: no powers for columns of few values (digits), and the broad
component (heavy tails, digits).
"""

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.model_selection import train_test_split

from benchmarks.shared.data import FOLDER

ANOMALIES = ("annthyroid", "cardio", "mammography", "pendigits", "satellite", "thyroid")
MAX_ROWS = 5000
CLIP = 20.0


def _rare(X, is_outlier, share):
    """Keep a share of the outliers, relative to the normal rows."""
    rng = np.random.default_rng(0)
    normal, outliers = np.flatnonzero(~is_outlier), np.flatnonzero(is_outlier)
    kept = rng.permutation(outliers)[: int(share * len(normal))]
    rows = np.concatenate([normal, kept])
    return X[rows], is_outlier[rows]


def _breast_cancer():
    data = load_breast_cancer()
    return _rare(data.data, data.target == 0, 0.1)


def _wine():
    data = load_wine()
    return _rare(data.data, data.target == 2, 0.1)


def _other_digits(digit):
    data = load_digits()
    return _rare(data.data, data.target != digit, 0.1)


def _one_digit(digit):
    data = load_digits()
    return _rare(data.data, data.target == digit, 0.03)


def _heavy_tails():
    rng = np.random.default_rng(0)
    X = rng.standard_t(1.5, size=(3000, 8))
    X[:100] += rng.choice([-8, 8], size=(100, 8))
    return X, np.arange(3000) < 100


def _counts():
    """Poisson counts of one intensity for each row; outliers mix rows."""
    rng = np.random.default_rng(0)
    X = rng.poisson(rng.gamma(2, 1, size=(2000, 1)), size=(2000, 10)).astype(float)
    X[:80] = rng.permuted(X[:80], axis=0)
    return X, np.arange(2000) < 80


def _many_columns():
    """More columns than rows, on a plane of few; outliers leave it in a tenth."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 5)) @ rng.normal(size=(5, 400))
    X += 0.5 * rng.normal(size=X.shape)
    X[:20, :40] += 2 * rng.normal(size=(20, 40))
    return X, np.arange(300) < 20


CHECKS = {
    "breast cancer": _breast_cancer,
    "wine": _wine,
    "digits, all but 3": lambda: _other_digits(3),
    "digits, all but 8": lambda: _other_digits(8),
    "digits, only 8": lambda: _one_digit(8),
    "heavy tails": _heavy_tails,
    "counts": _counts,
    "many columns": _many_columns,
}


def load(name):
    """Return rows and which of them are outliers; None if the file is missing."""
    if name in CHECKS:
        return CHECKS[name]()
    path = FOLDER / f"ad_{name}.npz"
    if not path.exists():
        return None
    with np.load(path) as file:
        return file["X"].astype(np.float64), file["y"].astype(bool)


def split(X, y, seed, *, clean):
    """Return training rows, test rows, and which of the latter are outliers.

    Up to 5000 rows, 70 % of them to train, both stratified; standardised on the
    training rows, which are all of their part or its normal rows, and clipped.
    """
    if len(X) > MAX_ROWS:
        X, _, y, _ = train_test_split(
            X, y, train_size=MAX_ROWS, stratify=y, random_state=seed
        )
    train, test, y_train, y_test = train_test_split(
        X, y, test_size=0.3, stratify=y, random_state=seed
    )
    if clean:
        train = train[~y_train]
    loc, scale = train.mean(axis=0), train.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    train, test = (np.clip((part - loc) / scale, -CLIP, CLIP) for part in (train, test))
    return train, test, y_test
