"""Mixtures as classifiers, with few labels and with all.

Run ``python -m benchmarks.clusters.labels`` (ten CPU minutes), or name some of the
parts ``semi`` (75 fits beside those of R's `MclustSSC`, whose numbers the folder
``SKGMJE_ORACLES`` holds), ``few`` (digits and wine, beside scikit-learn) and ``all``
(ten-fold cross-validation of complete labels). Figures are accuracies; those of few
labels are of the samples without one.
"""

import json
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import (
    LinearDiscriminantAnalysis,
    QuadraticDiscriminantAnalysis,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading

from benchmarks.shared.data import FOLDER
from benchmarks.shared.report import markdown, publish
from skgmje import MixtureClassifier

ORACLES = Path(os.environ.get("SKGMJE_ORACLES", "$SKGMJE_ORACLES"))
OURS = MixtureClassifier(random_state=0)


def table(name):
    """Return samples, and labels from 0, of a set."""
    if name == "iris":
        X, y = load_iris(return_X_y=True)
    elif name == "wine":
        X, y = load_wine(return_X_y=True)
    elif name == "wdbc":
        X, y = load_breast_cancer(return_X_y=True)
        X = StandardScaler().fit_transform(X[:, :10])
    elif name == "breast cancer":
        X, y = load_breast_cancer(return_X_y=True)
    elif name == "digits":
        X, y = load_digits(return_X_y=True)
        X = PCA(15, random_state=0).fit_transform(X)
    else:
        file = np.load(FOLDER / f"{name}.npz")
        X, y = file["X"], file["y"]
    return X.astype(np.float64), np.unique(y, return_inverse=True)[1]


def hidden(y, known):
    """Return labels, -1 but for the known samples."""
    return np.where(np.isin(np.arange(len(y)), known), y, -1)


def accuracy(model, X, y, known):
    """Return the accuracy on the other samples of a fit with few labels."""
    other = np.setdiff1d(np.arange(len(y)), known)
    model = clone(model)
    if hasattr(model, "unlabelled_weight") or isinstance(model[-1], LabelSpreading):
        model.fit(X, hidden(y, known))
    else:
        model.fit(X[known], y[known])
    return float((model.predict(X[other]) == y[other]).mean())


ALONE = clone(OURS).set_params(unlabelled_weight=0)


def semi():
    """Compare with `MclustSSC` on its 75 draws of labels."""
    oracle = json.loads((ORACLES / "mclust_semi_supervised.json").read_text())
    rows = []
    for name, sizes in oracle.items():
        X, y = table(name if name in ("iris", "wdbc") else f"mclust_{name}")
        for size, draws in sizes.items():
            known = [np.array(draw["labelled"]) for draw in draws]
            found = [
                [accuracy(model, X, y, part) for part in known]
                for model in (OURS, ALONE)
            ]
            theirs = np.mean([draw["accuracy"] for draw in draws])
            rows.append([name, int(size), *np.mean(found, axis=1), theirs])
            print(*rows[-1], flush=True)
    header = "set", "labels per class", "ours", "labelled alone", "MclustSSC"
    return header, [*rows, ["mean", "", *np.mean([r[2:] for r in rows], axis=0)]]


def few():
    """Compare with scikit-learn where labels are few, five draws each."""
    peers = {
        "ours": OURS,
        "labelled alone": ALONE,
        "LabelSpreading": make_pipeline(
            StandardScaler(), LabelSpreading("knn", n_neighbors=7)
        ),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    }
    rows = []
    for name, size in (("wine", 2), ("wine", 5), ("digits", 3), ("digits", 10)):
        X, y = table(name)
        found = []
        for seed in range(5):
            rng = np.random.RandomState(seed)
            known = [
                rng.choice(np.flatnonzero(y == c), size, replace=False)
                for c in np.unique(y)
            ]
            known = np.concatenate(known)
            found.append([accuracy(model, X, y, known) for model in peers.values()])
        rows.append([name, size, *np.mean(found, axis=0)])
        print(*rows[-1], flush=True)
    return ("set", "labels per class", *peers), rows


def complete():
    """Compare with discriminant analysis where all labels are known."""
    peers = {
        "ours": OURS,
        "ours, 'auto'": clone(OURS).set_params(n_components_per_class="auto"),
        "LDA": LinearDiscriminantAnalysis(),
        "QDA": make_pipeline(
            StandardScaler(), QuadraticDiscriminantAnalysis(reg_param=1e-4)
        ),
        "GaussianNB": GaussianNB(),
    }
    names = "wine", "breast cancer", "digits", "ad_satellite", "ad_pendigits"
    rows = []
    for name in (*names, "ad_thyroid", "mclust_thyroid"):
        X, y = table(name)
        folds = StratifiedKFold(10, shuffle=True, random_state=0)
        start = time.process_time()
        found = [cross_val_score(m, X, y, cv=folds).mean() for m in peers.values()]
        rows.append([name, *found])
        print(*rows[-1], f"{time.process_time() - start:.0f} s", flush=True)
    return ("set", *peers), rows


PARTS = {"semi": semi, "few": few, "all": complete}


def rounded(row):
    """Return a row with three digits of its numbers."""
    return [f"{v:.3f}" if isinstance(v, float) else v for v in row]


def main(chosen):
    """Measure and publish the parts that are asked for, all by default."""
    for name in chosen or PARTS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header, rows = PARTS[name]()
        text = markdown(header, [rounded(row) for row in rows])
        rows = [[v.item() if hasattr(v, "item") else v for v in row] for row in rows]
        publish(__file__, f"labels-{name}", {"header": header, "rows": rows}, text)


if __name__ == "__main__":
    main(sys.argv[1:])
