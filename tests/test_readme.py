"""The README's snippet and the lines of its table run as they stand."""

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.mixture import GaussianMixture as Peer

import skgmje

README = (Path(__file__).parents[1] / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
TABLE = README.split("| | |")[1].split("\n\n")[0]
LINES = re.findall(r"`([^`]*)`", TABLE)


def test_readme_is_short():
    assert len(README.splitlines()) < 150


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("snippet", SNIPPETS)
def test_snippet_runs(snippet, capsys, tmp_path, monkeypatch):
    assert len(snippet.splitlines()) < 14
    monkeypatch.chdir(tmp_path)
    exec(snippet, {})
    assert capsys.readouterr().out


def _names():
    """Return the values that the lines of the table speak of, and all public names."""
    X, labels = load_iris(return_X_y=True)
    X, labels = X[::4], labels[::4]
    missing = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    density = skgmje.GaussianMixture(2, random_state=0).fit(X)
    p = density.mixture_
    regression = skgmje.ConditionalMixtureDensity("prototypes", random_state=0)
    homes = [skgmje, importlib.import_module("skgmje.metrics")]
    return {name: getattr(home, name) for home in homes for name in home.__all__} | {
        "X": X,
        "y": X[:, 0],
        "labels": np.where(np.arange(len(X)) % 3, -1, labels),
        "X_missing": missing,
        "variances": np.full(X.shape, 0.01),
        "density": density,
        "p": p,
        "q": p.affine(np.eye(4), np.ones(4)),
        "fitted": Peer(2, random_state=0).fit(X),
        "regression": regression.fit(X, X[:, 0]),
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_lines_of_the_table_run():
    names = _names()
    assert len(LINES) > 20
    for line in LINES:
        found = eval(line, names)
        assert found is not None, line
