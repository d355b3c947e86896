"""What labels say of embeddings: the probes.

All take features and labels of training and of test rows, and return the share of
test rows that a simple rule gets right.
"""

import warnings

import numpy as np
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

N_DRAWS = 8
N_NEIGHBORS = 10
# Penalties of the probes: of ridge by row, of logistic regression over its choices.
RIDGE = 0.02
PENALTIES = (1e-4, 1e-3, 1e-2)


def scaled(Z, Z_test, *, one_scale=False):
    """Centre features and give each, or all together, unit spread; float32."""
    mean, spread = Z.mean(axis=0), Z.std(axis=0)
    spread = spread.mean() if one_scale else spread + 1e-6
    return [((part - mean) / spread).astype(np.float32) for part in (Z, Z_test)]


def ridge(Z, Z_test, y, y_test):
    """Score linear least squares on one column of each class."""
    Z, Z_test = scaled(Z, Z_test)
    Z = Z.astype(float)
    targets = np.eye(y.max() + 1)[y]
    gram = Z.T @ Z + RIDGE * len(Z) * np.eye(Z.shape[1])
    weights = np.linalg.solve(gram, Z.T @ (targets - targets.mean(axis=0)))
    return float(np.mean((Z_test @ weights).argmax(axis=1) == y_test))


def _logistic(Z, y, C, max_iter):
    with warnings.catch_warnings():
        # A probe needs no eighth digit.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=C, max_iter=max_iter).fit(Z, y)


def logistic(Z, Z_test, y, y_test):
    """Score logistic regression; a fifth of the training rows choose its penalty."""
    Z, Z_test = scaled(Z, Z_test)
    fitted, held_out, y_fitted, y_held_out = train_test_split(
        Z, y, test_size=0.2, random_state=0, stratify=y
    )

    def accuracy(penalty):
        model = _logistic(fitted, y_fitted, 1 / (2 * penalty * len(fitted)), 40)
        return model.score(held_out, y_held_out)

    best = max(PENALTIES, key=accuracy)
    return float(_logistic(Z, y, 1 / (2 * best * len(Z)), 60).score(Z_test, y_test))


def neighbors(Z, Z_test, y, y_test):
    """Score a soft vote of the ten nearest training rows by cosine."""
    mean = Z.mean(axis=0)
    Z, Z_test = [
        (part - mean) / (np.linalg.norm(part - mean, axis=1, keepdims=True) + 1e-12)
        for part in (Z, Z_test)
    ]
    cosines = Z_test @ Z.T
    near = np.argpartition(-cosines, N_NEIGHBORS, axis=1)[:, :N_NEIGHBORS]
    votes = softmax(5 * np.take_along_axis(cosines, near, axis=1), axis=1)
    counts = (votes[:, :, None] * np.eye(y.max() + 1)[y[near]]).sum(axis=1)
    return float(np.mean(counts.argmax(axis=1) == y_test))


def few_labels(
    Z, Z_test, y, y_test, per_class=10, strength=3, first=100, *, one_scale=False
):
    """Score logistic regression on few labelled rows of each class, mean of 8 draws.

    All training rows tell the scale of the features.
    """
    Z, Z_test = scaled(Z, Z_test, one_scale=one_scale)
    scores = []
    for draw in range(N_DRAWS):
        rng = np.random.RandomState(first + draw)
        rows = np.concatenate(
            [
                rng.choice(np.flatnonzero(y == label), per_class, replace=False)
                for label in range(y.max() + 1)
            ]
        )
        model = _logistic(Z[rows], y[rows], strength / Z.shape[1], 60)
        scores.append(model.score(Z_test, y_test))
    return float(np.mean(scores))


PROBES = {
    "ridge": ridge,
    "logistic": logistic,
    "neighbours": neighbors,
    "100 labels": few_labels,
}


def probe(Z, Z_test, y, y_test):
    """Return the scores of all probes by name."""
    parts = np.asarray(Z, np.float32), np.asarray(Z_test, np.float32), y, y_test
    return {name: score(*parts) for name, score in PROBES.items()}
