"""Parts of embedders: views, diagnosis, and the kernel cost of a decoder."""

import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import entropy
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

from skgmje import KernelDecoder

# Inside: views, moments and costs of a step are not attributes of a fit.
from skgmje._backend import to_numpy
from skgmje._standardize import Standardization, standardization
from skgmje.embedding import (
    MLP,
    CollapseWarning,
    GJEEmbedder,
    GJELoss,
    _decoder_training,
    _encoder,
    diagnose,
    gaussian_mutual_information,
    sigreg_term,
)
from skgmje.embedding._collapse import describe, log_det, measure
from skgmje.embedding._decoder_cost import (
    OBJECTIVES,
    Patches,
    batch_objective,
    kernel_terms,
    sample_objective,
)
from skgmje.embedding._decoder_training import _total_memory
from skgmje.embedding._losses import Embeddings, Objective
from skgmje.embedding._normality import normality
from skgmje.embedding._views import VIEWS, OwnAugmentation, PairMoments, Pairs, jitter

# Collapse, told in plain words --------------------------------------------------------


def test_healthy_embeddings_need_no_words(rng):
    figures = measure(rng.normal(size=(100, 8)))
    assert describe(figures, 100) == ""
    assert_allclose(figures["effective_rank"], 8, atol=0.6)


def test_effective_rank_counts_directions(rng):
    Z = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 20))
    assert 1 < measure(Z)["effective_rank"] <= 3 + 1e-9
    assert measure(np.ones((10, 4)))["effective_rank"] == 0.0


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
    embedder = GJEEmbedder(8, loss="naive", encoder=MLP((32,)), random_state=0)
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
    loss = GJELoss(logdet_weight=0.0)
    embedder = GJEEmbedder(8, loss=loss, encoder=MLP((32,)), random_state=0)
    with pytest.warns(CollapseWarning):
        embedder.fit(X)


def test_normality_finds_what_is_not_gaussian(rng):
    normal = rng.normal(size=(800, 6))
    statistic, pvalue, _ = normality(normal)
    assert pvalue > 0.05
    mapped = normality(normal @ rng.normal(size=(6, 6)) + 100)
    assert_allclose(mapped, (statistic, pvalue, 6), rtol=1e-6)
    for other in (rng.standard_t(4, size=(800, 6)), normal + 4 * np.sign(normal)):
        found = normality(other)
        assert found[0] > statistic
        assert found[1] == 1 / 200


def test_normality_has_the_right_level(rng):
    """Of 60 sets a fifth and more would have to be wrong."""
    pvalues = [normality(rng.normal(size=(30, 3)))[1] for _ in range(60)]
    assert 0.3 < np.mean(np.array(pvalues) > 0.5) < 0.7


@pytest.mark.parametrize("Z", [np.ones((9, 3)), np.eye(3), np.zeros((2, 5))])
def test_normality_of_nothing_to_tell_is_finite(Z):
    statistic, pvalue, _ = normality(Z)
    assert np.isfinite(statistic)
    assert pvalue == 1.0


def test_normality_of_one_feature_is_sigreg(rng):
    z = rng.gamma(2, size=(200, 1))
    white = (z - z.mean()) / z.std()
    expected = sigreg_term(white, 1, None) / np.sqrt(2 * np.pi)
    assert_allclose(normality(z)[0], expected, rtol=1e-10)


def test_diagnosis_tells_shape_and_normality(X):
    fitted = GJEEmbedder(3, max_iter=20, random_state=0).fit(X)
    found, Z = diagnose(fitted, X), fitted.transform(X)
    assert_allclose(found["condition"], np.linalg.cond(np.cov(Z.T)), rtol=1e-6)
    shares = np.linalg.svd(Z, compute_uv=False)
    assert_allclose(found["rankme"], np.exp(entropy(shares)))
    assert (found["normality"], found["normality_pvalue"], 3) == normality(Z)
    assert not found["words"]


def test_diagnosis_says_what_it_cannot_tell(rng):
    names = {"transform_target": None, "logdet_drop_": np.zeros(2)}
    fitted = SimpleNamespace(_embed=lambda X: X, **names)
    Z = rng.normal(size=(50, 3))
    for rows, words in [
        (Z, "^$"),
        (Z[:4], "Of 4 samples in 3 dimensions .* pass 5 or more"),
        (Z * [1, 1, 1e-7], "that of 2 of 3 directions"),
    ]:
        found = diagnose(fitted, rows)
        assert not found["collapsed"]
        assert re.search(words, found["words"])


def test_diagnosis_needs_a_fit_and_rows(X):
    with pytest.raises(NotFittedError):
        diagnose(GJEEmbedder(), X)
    with pytest.raises(TypeError, match="no embedder"):
        diagnose(PCA(), X)
    fitted = GJEEmbedder(2, max_iter=5, random_state=0).fit(X)
    with pytest.raises(ValueError, match="one sample"):
        diagnose(fitted, X[:1])


# Pairs of rows, and rows that cannot be paired ----------------------------------------


def test_neighbors_are_mutual_and_near(X):
    views = VIEWS["neighbors"]().fit(X, None)
    context, target = views.pairs(X, None)
    assert context.shape == target.shape
    assert 2 <= len(context) <= len(X)
    assert not (context == target).all(axis=1).any()
    paired = np.linalg.norm(context - target, axis=1).mean()
    rolled = np.linalg.norm(context - np.roll(context, 1, axis=0), axis=1).mean()
    assert paired < 0.6 * rolled


def test_neighbors_leave_out_who_is_nobodys_neighbor():
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(size=(30, 2)), [[100.0, 100.0]]]
    context, target = VIEWS["neighbors"]().fit(X, None).pairs(X, None)
    assert max(context.max(), target.max()) < 50


def test_two_rows_are_neighbors(X):
    views = VIEWS["neighbors"]().fit(X, None)
    assert_array_equal(views.pairs(X[:2], None)[1], X[1::-1])
    with pytest.raises(ValueError, match="at least 2"):
        views.pairs(X[:1], None)


def test_given_views_are_what_is_given(X, Y):
    context, target = VIEWS["pair"]().fit(X, Y).pairs(X, Y)
    assert context is X
    assert_array_equal(target, Y)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda X, Y: (X, None), "requires y to be passed"),
        (lambda X, Y: (X, Y[:, 0]), "no view"),
        (lambda X, Y: (X, Y[:-1]), "inconsistent numbers of samples"),
        (lambda X, Y: (X, np.where(Y > 1, np.nan, Y)), "y contains NaN"),
        (lambda X, Y: (X, np.ones_like(Y)), "samples in y are identical"),
        (lambda X, Y: (X, 1e200 * Y), "Rescale y"),
        (lambda X, Y: (np.ones_like(X), Y), "samples in X are identical"),
        (lambda X, Y: (X, X.copy()), "identical"),
    ],
)
def test_pairs_that_are_none_are_refused(X, Y, change, words):
    with pytest.raises(ValueError, match=words):
        VIEWS["pair"]().fit(*change(X, Y))


def test_target_keeps_its_width(X, Y):
    views = VIEWS["pair"]().fit(X, Y)
    with pytest.raises(ValueError, match="7 in fit"):
        views.pairs(X, Y[:, :2])


@pytest.mark.parametrize("per_feature", [True, False])
def test_units_give_unit_variance(X, per_feature):
    rows = standardization(1e3 * X + 5, None, per_feature=per_feature).forward(
        1e3 * X + 5
    )
    variance = rows.var(axis=0)
    assert_allclose(variance if per_feature else variance.mean(), 1.0)
    assert_allclose(rows.mean(axis=0), 0.0, atol=1e-12)


def test_constant_feature_and_far_rows_stay_finite(X):
    X = np.c_[X, np.full(len(X), 7.0)]
    units = standardization(X, None, per_feature=True)
    assert_array_equal(units.forward(X)[:, -1], 0.0)
    assert np.isfinite(units.forward(X * 1e300, np.float32)).all()


def test_one_view_is_stacked_once(X, Y):
    units = standardization(X, None, per_feature=True)
    assert Pairs(None, X, X, units, units).stacked().shape == X.shape
    both = Pairs(
        None, X, Y, units, standardization(Y, None, per_feature=True)
    ).stacked()
    assert both.shape == (len(X), 6 + 7)
    assert both.dtype == np.float32


def test_jitter_is_centred_and_random():
    rows = torch.ones(4000, 2)
    generator = torch.Generator().manual_seed(0)
    one, two = jitter(rows, generator), jitter(rows, generator)
    assert not torch.equal(one, two)
    assert_allclose(one.mean(dim=0), 0.8, atol=0.06)
    assert one.dtype == rows.dtype


def test_own_augmentation_sees_the_units_of_the_rows():
    units = Standardization(np.array([10.0, 20.0]), np.array([2.0, 4.0]))
    seen = []

    def augment(batch, generator):
        seen.append(batch)
        return batch + 2.0

    view = OwnAugmentation(augment, units)(torch.tensor([[0.0, 1.0]]), None)
    assert_allclose(seen[0], [[10.0, 24.0]])
    assert_allclose(view, [[1.0, 1.5]])


def test_own_augmentation_sees_what_it_sees_in_training():
    """Single precision, whatever it is wanted for; the answer may be of any."""
    units = Standardization(np.zeros(2), np.ones(2))
    augment = OwnAugmentation(lambda b, g: (b @ torch.eye(2)).double(), units)
    for dtype in (torch.float32, torch.float64):
        assert augment(torch.ones((3, 2), dtype=dtype), None).dtype == dtype


@pytest.mark.parametrize("answer", [lambda b, g: b[:1], lambda b, g: b.numpy()])
def test_own_augmentation_must_keep_the_shape(answer):
    units = Standardization(np.zeros(2), np.ones(2))
    with pytest.raises(ValueError, match="tensor of the same shape"):
        OwnAugmentation(answer, units)(torch.ones(3, 2), None)


# The cost of centers against the formula written out, its bound and its gradient ------


WHOLE = Patches(1, 1, 24, 1)
CUTS = {"whole": WHOLE, "grey": Patches(4, 6, 1, 2), "colours": Patches(2, 4, 3, 2)}
VARIANCE = 7.0


@pytest.fixture
def rows(rng):
    return rng.normal(size=(5, 24))


@pytest.fixture
def centers(rng):
    return rng.normal(size=(5, 3, 24))


def naive_terms(X, centers, variance, patches):
    """Write the sums out, patch by patch."""
    height, width, n_channels, size = patches
    X = X.reshape(len(X), height, width, n_channels)
    centers = centers.reshape(*centers.shape[:2], height, width, n_channels)
    fits, norms = [], []
    for i in range(0, height, size):
        for j in range(0, width, size):
            x = X[:, i : i + size, j : j + size].reshape(len(X), 1, -1)
            c = centers[:, :, i : i + size, j : j + size]
            c = c.reshape(*c.shape[:2], -1)
            v = variance / patches.n_patches
            fit = np.exp(-((x - c) ** 2).sum(-1) / (2 * v)).mean(1)
            pairs = ((c[:, :, None] - c[:, None]) ** 2).sum(-1)
            norms.append(np.exp(-pairs / (4 * v)).mean((1, 2)))
            fits.append(fit)
    return np.transpose(fits), np.transpose(norms)


@pytest.mark.parametrize("name", CUTS)
def test_terms_are_those_of_the_formula(xp, rows, centers, name):
    arrays = xp.asarray(rows), xp.asarray(centers)
    terms = kernel_terms(*arrays, [VARIANCE], CUTS[name])
    fit, norm = naive_terms(rows, centers, VARIANCE, CUTS[name])
    assert_allclose(to_numpy(terms.log_fit), np.log(fit), rtol=1e-10)
    assert_allclose(to_numpy(terms.log_norm), np.log(norm), rtol=1e-10)
    sample = -(2 * np.log(fit) - np.log(norm)).mean()
    assert_allclose(to_numpy(sample_objective(terms)), sample, rtol=1e-10)
    batch = -(2 * np.log(fit.mean(0)) - np.log(norm.mean(0))).mean()
    assert_allclose(to_numpy(batch_objective(terms)), batch, rtol=1e-10)


@pytest.mark.parametrize("name", CUTS)
def test_one_centre_is_the_squared_error(xp, rows, centers, name):
    arrays = xp.asarray(rows), xp.asarray(centers[:, :1])
    cost = sample_objective(kernel_terms(*arrays, [VARIANCE], CUTS[name]))
    error = ((rows - centers[:, 0]) ** 2).sum(1).mean() / VARIANCE
    assert_allclose(to_numpy(cost), error, rtol=1e-13)


def test_gradient_of_one_centre_is_that_of_the_squared_error(rows, centers):
    X = torch.from_numpy(rows)
    one = torch.from_numpy(centers[:, :1]).requires_grad_()
    sample_objective(kernel_terms(X, one, [VARIANCE], WHOLE)).backward()
    expected = 2 * (centers[:, 0] - rows) / VARIANCE / len(rows)
    assert_allclose(one.grad[:, 0], expected, rtol=1e-12)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", CUTS)
def test_gradient(rows, centers, name, objective):
    X = torch.from_numpy(rows)

    def cost(centers):
        return OBJECTIVES[objective](kernel_terms(X, centers, [VARIANCE], CUTS[name]))

    variables = torch.from_numpy(centers).requires_grad_()
    assert torch.autograd.gradcheck(cost, (variables,))


def test_equal_centres_have_a_gradient(rows):
    centers = torch.from_numpy(rows)[:, None].repeat(1, 3, 1).requires_grad_()
    cost = sample_objective(
        kernel_terms(torch.from_numpy(rows), centers, [VARIANCE], WHOLE)
    )
    cost.backward()
    assert_allclose(cost.item(), 0.0, atol=1e-12)
    assert torch.isfinite(centers.grad).all()


@given(
    spread=st.floats(0, 100),
    variance=st.floats(1e-3, 1e3),
    n_centers=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_bound_holds_for_each_row(spread, variance, n_centers, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(4, 24))
    centers = X[:, None] + spread * rng.normal(size=(4, n_centers, 24))
    terms = kernel_terms(X, centers, [variance], WHOLE)
    assert (terms.log_ratio <= 1e-9).all()
    assert sample_objective(terms) >= -1e-9
    assert batch_objective(terms) >= -1e-9


def test_bound_of_a_gaussian_is_not_passed_and_nearly_reached(rng):
    """Of p(x|y) = N(m, s I) it is (4 pi s)^(-d/2), in closed form."""
    d, variance = 2, 0.7
    x = math.sqrt(variance) * rng.normal(size=(200_000, d))
    values = {}
    for v in (0.2, variance, 3.0):
        terms = kernel_terms(x, np.zeros((len(x), 1, d)), [v], Patches(1, 1, d, 1))
        value = -batch_objective(terms) - d / 2 * math.log(math.pi * v)
        values[v] = float(value)
    bound = -d / 2 * math.log(4 * math.pi * variance)
    assert max(values.values()) <= bound + 0.01
    assert_allclose(values[variance], bound, atol=0.01)
    assert values[0.2] < bound - 0.1
    assert values[3.0] < bound - 0.1


def test_far_rows_stay_finite():
    X, centers = np.zeros((2, 24)), np.full((2, 3, 24), 1e3)
    terms = kernel_terms(X, centers, [1e-3], WHOLE)
    assert all(np.isfinite(part).all() for part in terms)
    assert math.isfinite(batch_objective(terms))


def test_patches_are_parts_of_the_image():
    image = np.arange(4 * 6).reshape(1, 1, 24)
    patches = CUTS["grey"].split(image)
    assert patches.shape == (1, 6, 1, 4)
    assert patches[0, 1, 0].tolist() == [2, 3, 8, 9]
    assert sorted(patches.ravel()) == list(range(24))


def test_objective_passes_what_a_loss_names():
    seen = {}

    def loss(z_context, z_target, rho, mixture):
        seen.update(rho=rho, mixture=mixture)
        return z_context.sum() - z_target.sum()

    objective = Objective(loss, rho=0.5)
    ones = torch.ones(2, 2)
    assert objective(Embeddings(ones, ones, "mixture"), None) == 0
    assert seen == {"rho": 0.5, "mixture": "mixture"}


@pytest.mark.parametrize("answer", [1.0, torch.ones(2), None])
def test_objective_refuses_what_is_no_loss(answer):
    objective = Objective(lambda a, b: answer)
    with pytest.raises(ValueError, match="must return one number"):
        objective(Embeddings(torch.ones(2, 2), torch.ones(2, 2)), None)


QUICK = {"max_iter": 3, "hidden_layer_sizes": (8,), "random_state": 0}


def test_fit_goes_on_after_an_interruption(tmp_path, monkeypatch):
    X = load_digits().data[:1200]
    params = {**QUICK, "max_iter": 6, "trainer": {"checkpoint_dir": tmp_path}}
    expected = KernelDecoder(**{**params, "trainer": None}).fit(X)
    forward, calls = _decoder_training.Autoencoder.forward, []

    def failing(module, rows):
        calls.append(1)
        if len(calls) == 4:
            raise RuntimeError("power cut")
        return forward(module, rows)

    monkeypatch.setattr(_decoder_training.Autoencoder, "forward", failing)
    with pytest.raises(RuntimeError, match="power cut"):
        KernelDecoder(**params).fit(X)
    resumed = KernelDecoder(**params).fit(X)
    assert_array_equal(resumed.transform(X), expected.transform(X))


def test_lack_of_memory_names_a_smaller_batch(monkeypatch):
    X = load_digits().data[:1200]
    decoder = KernelDecoder(batch_size=1000, **QUICK).fit(X)

    def greedy(*args, **params):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(_encoder, "embed", greedy)
    with pytest.raises(MemoryError, match=r"batch_size=1000\. Try batch_size=500\."):
        decoder.transform(X)
    monkeypatch.setattr(_decoder_training.Autoencoder, "forward", greedy)
    with pytest.raises(MemoryError, match=r"batch_size=1000\. Try batch_size=500\."):
        decoder.fit(X)


def test_score_is_not_changed_by_linear_maps_of_the_embedding(X):
    """So it compares losses whose embeddings have any scale."""
    fitted = GJEEmbedder(3, max_iter=40, encoder=MLP((16,)), random_state=0).fit(X)
    Z = fitted.transform(X), fitted.transform(np.roll(X, 1, axis=0) + X)
    one = PairMoments.from_pairs(*Z).information(*Z)
    mapped = [1e-3 * z @ np.array([[1, 2, 0], [0, 1, 1], [3, 0, 1]]) for z in Z]
    two = PairMoments.from_pairs(*mapped).information(*mapped)
    assert_allclose(one, two, rtol=1e-3, atol=1e-4)


def test_score_discounts_chance(rng):
    """Of independent views with few rows the moments learn nothing."""
    train, test = rng.normal(size=(2, 2, 60, 10))
    by_chance = gaussian_mutual_information(*train)
    assert by_chance > 0.9
    assert abs(PairMoments.from_pairs(*train).information(*test).mean()) < by_chance / 4


def test_memory_of_the_device_is_known():
    assert _total_memory(torch.device("cpu")) > 2**28
