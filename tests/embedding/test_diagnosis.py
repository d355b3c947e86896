"""Collapse, told in plain words."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

from skgmje.embedding import CollapseWarning, GJEEmbedder, diagnose
from skgmje.embedding._losses import describe, effective_rank, log_det, measure


def test_healthy_embeddings_need_no_words(rng):
    figures = measure(rng.normal(size=(100, 8)))
    assert describe(figures, 100) == ""
    assert_allclose(figures["effective_rank"], 8, atol=0.6)


def test_effective_rank_counts_directions(rng):
    Z = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 20))
    assert 1 < effective_rank(Z) <= 3 + 1e-9
    assert effective_rank(np.ones((10, 4))) == 0.0


def test_rank_collapse_is_told_though_all_rows_spread(rng):
    """Standard deviations alone would call this healthy."""
    Z = rng.normal(size=(500, 1)) * np.ones((1, 32)) + 1e-3 * rng.normal(size=(500, 32))
    figures = measure(Z)
    assert figures["std"].min() > 0.5
    assert "1.0 directions of 32" in describe(figures, len(Z))


def test_point_collapse_is_told(rng):
    words = describe(measure(1e-3 * rng.normal(size=(50, 4))), 50)
    assert "nearly the same embedding" in words
    assert "loss='gje'" in words


def test_lost_volume_is_told_but_not_a_little_of_it(rng):
    figures = measure(rng.normal(size=(50, 4)))
    assert "fell by 15 nats" in describe(figures, 50, drop=15.0)
    assert describe(figures, 50, drop=8.0) == ""


def test_few_rows_are_not_called_collapsed(rng):
    """Three rows have two directions at the most."""
    assert describe(measure(rng.normal(size=(3, 32))), 3) == ""


def test_log_determinant_of_collapsed_rows_is_finite():
    assert log_det(np.zeros((5, 3))) < -100


def test_naive_loss_collapses_and_says_so():
    """The trap, and the way out: marginal log-determinants."""
    X = load_digits(return_X_y=True)[0][:600]
    embedder = GJEEmbedder(8, loss="naive", hidden_layer_sizes=(32,), random_state=0)
    with pytest.warns(CollapseWarning, match="Use loss='gje' with logdet_weight=1"):
        naive = embedder.fit(X)
    assert naive.logdet_drop_.min() > 5
    assert naive.std_.mean() < 0.1
    diagnosis = diagnose(naive, X)
    assert diagnosis["collapsed"]
    assert "shrank in training" in diagnosis["words"]
    sound = clone(naive).set_params(loss="gje").fit(X)
    assert sound.effective_rank_ > 4
    assert not diagnose(sound, X)["collapsed"]
    assert sound.score(X) > naive.score(X) + 1


def test_weight_zero_is_the_trap_too():
    X = load_digits(return_X_y=True)[0][:600]
    embedder = GJEEmbedder(
        8, logdet_weight=0.0, hidden_layer_sizes=(32,), random_state=0
    )
    with pytest.warns(CollapseWarning):
        embedder.fit(X)


def test_diagnosis_needs_a_fit_and_rows(X):
    with pytest.raises(NotFittedError):
        diagnose(GJEEmbedder(), X)
    with pytest.raises(TypeError, match="no embedder"):
        diagnose(PCA(), X)
    fitted = GJEEmbedder(2, max_iter=5, random_state=0).fit(X)
    with pytest.raises(ValueError, match="one sample"):
        diagnose(fitted, X[:1])
