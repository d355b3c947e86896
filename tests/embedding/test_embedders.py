"""Both embedders: what they learn, answer and refuse."""

import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch import nn

from skgmje.embedding import (
    LOSSES,
    MLP,
    Encoder,
    GJEEmbedder,
    GJELoss,
    GMJEEmbedder,
    JointLoss,
    SIGRegLoss,
    gje_loss,
    vicreg_loss,
)
from skgmje.mixture import GaussianMixture

# Small enough for a test, large enough to learn something.
SMALL = {"max_iter": 40, "encoder": MLP((16,)), "random_state": 0}
TWO = GaussianMixture(2, shrinkage="auto", reg_covar=1e-4)
GJE = GJEEmbedder(3, **SMALL)
GMJE = GMJEEmbedder(3, mixture=TWO, **SMALL)


def label(value):
    """Return a name of a parameter that is the same in every process."""
    if isinstance(value, dict):
        return ",".join(f"{k}={label(v)}" for k, v in value.items())
    return getattr(value, "__name__", str(value))


@pytest.fixture(scope="module", params=[GJE, GMJE], ids=["gje", "gmje"])
def fitted(request, X):
    return clone(request.param).fit(X)


@pytest.fixture(scope="module", params=[GJE, GMJE], ids=["gje", "gmje"])
def paired(request, X, Y):
    return clone(request.param).set_params(views="pair", max_iter=100).fit(X, Y)


def test_shapes(fitted, X):
    n = len(X)
    assert fitted.transform(X).shape == (n, 3)
    assert fitted.predict(X).shape == (n, 3)
    assert fitted.predict(X, return_std=True)[1].shape == (n, 3)
    assert fitted.predict(X, return_cov=True)[1].shape == (n, 3, 3)
    assert fitted.score_samples(X).shape == (n,)
    assert fitted.score_samples(X, X).shape == (n,)
    assert fitted.sample(5)[0].shape == (5, 3)
    assert fitted.predict_mixture(X).means.shape[::2] == (n, 3)
    assert len(fitted.get_feature_names_out()) == 3
    assert len(fitted.loss_curve_) == fitted.n_iter_ == 40


def test_fitted_figures(fitted, X):
    Z = fitted.transform(X)
    assert_allclose(fitted.std_, Z.std(axis=0))
    assert 1 <= fitted.effective_rank_ <= 3
    assert_allclose(fitted.occupancy_.sum(), 1.0)
    assert np.isfinite(fitted.logdet_marginals_).all()
    assert fitted.loss_curve_[-1] < fitted.loss_curve_[0]


def test_width_and_batch_follow_the_rows(X):
    assert GJEEmbedder(**SMALL).fit(X).embedding_dim_ == len(X) // 8
    assert GJEEmbedder(**SMALL).fit(X[:6]).embedding_dim_ == 1


def test_views_tell_of_each_other_on_rows_held_out(paired, held_out):
    X, Y = held_out
    assert paired.score(X, Y) > 0.5
    assert paired.score(X, Y) > paired.score(X, np.roll(Y, 3, axis=0)) + 0.5


def test_prediction_is_better_than_the_mean(paired, held_out):
    X, Y = held_out
    Z = paired.transform_target(Y)
    mean, std = paired.predict(X, return_std=True)
    assert ((mean - Z) ** 2).mean() < 0.8 * Z.var(axis=0).mean()
    assert 0.5 < (((mean - Z) / std) ** 2).mean() < 2.0


def test_joint_density_is_marginal_times_conditional(paired, X, Y):
    conditional = paired.predict_mixture(X).log_prob(paired.transform_target(Y))
    expected = paired.score_samples(X) + conditional
    assert_allclose(paired.score_samples(X, Y), expected, rtol=1e-10)


def test_covariance_is_noise_plus_branches(fitted, X):
    """The law of total variance."""
    mixture = fitted.predict_mixture(X[:5])
    mean, cov = fitted.predict(X[:5], return_cov=True)
    parts = mixture.within_covariance + mixture.between_covariance
    assert_allclose(cov, parts, atol=1e-12)
    std = fitted.predict(X[:5], return_std=True)[1]
    assert_allclose(std**2, np.diagonal(cov, axis1=1, axis2=2))
    assert_allclose(mean, mixture.mean)


def test_gje_is_gmje_with_one_component(X):
    one = clone(GMJE).set_params(mixture=GaussianMixture()).fit(X)
    gje = clone(GJE).fit(X)
    assert_allclose(one.score_samples(X), gje.score_samples(X), rtol=1e-6)
    assert_allclose(one.predict(X), gje.predict(X), rtol=1e-6, atol=1e-9)
    assert gje.covariance_.shape == (6, 6)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.filterwarnings("ignore::skgmje.embedding.CollapseWarning")
def test_every_loss_trains(loss, X):
    fitted = clone(GJE).set_params(loss=loss).fit(X)
    assert np.isfinite(fitted.loss_curve_).all()
    assert fitted.loss_curve_[-5:].mean() < fitted.loss_curve_[0]
    assert np.isfinite(fitted.score(X))


@pytest.mark.parametrize(
    "params",
    [
        {"views": "neighbors"},
        {"encoder__target": "ema"},
        {"encoder__norm": "sphere"},
        {"encoder__norm": "batch"},
        {"encoder": Encoder(norm="sphere", target="ema")},
        {"standardize": False},
        {"output": "hidden"},
        {"output": ["hidden", "input"]},
        {"output": ["input", "multi", "embedding"]},
        {"loss": GJELoss(rho=0.5, logdet_weight=2.0)},
        {"loss": JointLoss(3, moment_decay=0.5)},
        {"loss": lambda a, b: ((a - b) ** 2).mean() - a.var() - b.var()},
        {"batch_size": 20},
        {"embedding_dim": 1},
    ],
    ids=label,
)
@pytest.mark.filterwarnings("ignore::skgmje.embedding.CollapseWarning")
def test_settings(params, X):
    fitted = clone(GMJE).set_params(**params).fit(X)
    Z = fitted.transform(X)
    assert np.isfinite(Z).all()
    assert Z.shape[1] == len(fitted.get_feature_names_out())
    assert np.isfinite(fitted.score(X))
    assert np.isfinite(fitted.score_samples(X)).all()
    assert fitted.sample(3)[0].shape == (3, fitted.embedding_dim_)


def test_sphere_has_the_length_of_a_standard_normal(X):
    Z = clone(GJE).set_params(encoder__norm="sphere").fit(X).transform(X)
    assert_allclose((Z**2).sum(axis=1), 3.0)


def test_teacher_follows_the_student(X):
    fitted = clone(GJE).set_params(encoder__target="ema").fit(X)
    student, teacher = fitted.encoder_, fitted.target_encoder_
    assert student is not teacher
    pairs = zip(student.parameters(), teacher.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)
    assert clone(GJE).fit(X).target_encoder_ is not teacher


def test_hidden_layer_is_before_the_embedding(X):
    fitted = clone(GJE).set_params(output="hidden").fit(X)
    assert fitted.transform(X).shape == (len(X), 16)
    same = clone(GJE).fit(X)
    assert_allclose(fitted.score_samples(X), same.score_samples(X))


def test_own_encoder(X):
    encoder = nn.Sequential(
        nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 3)
    )
    before = torch.get_rng_state().clone(), encoder[0].weight.clone()
    fitted = clone(GJE).set_params(encoder=encoder).fit(X)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.equal(encoder[0].weight, before[1])
    again = clone(GJE).set_params(encoder=encoder).fit(X)
    assert_array_equal(fitted.transform(X), again.transform(X))


def test_built_encoders_of_both_views(X, Y):
    estimator = GJEEmbedder(
        3, views="pair", **{**SMALL, "encoder": (nn.Linear, nn.Linear)}
    ).fit(X, Y)
    assert estimator.encoder_.body.in_features == 6
    assert estimator.target_encoder_.body.in_features == 7
    assert estimator.encoder_.body.weight is not estimator.target_encoder_.body.weight
    one = clone(estimator).set_params(encoder=nn.Linear).fit(X, Y)
    assert_array_equal(one.transform(X), estimator.transform(X))
    repeated = clone(estimator).fit(X, Y)
    assert_array_equal(estimator.transform(X), repeated.transform(X))


def test_frozen_encoder_is_used_as_it_is(X):
    """Embeddings of others, with a density on top."""
    fitted = GMJEEmbedder(6, encoder=nn.Identity(), mixture=TWO, random_state=0)
    Z = fitted.fit(X).transform(X)
    assert_allclose(Z, (X - X.mean(axis=0)) / X.std(axis=0), atol=1e-12)
    assert len(fitted.loss_curve_) == 0


@pytest.mark.parametrize(
    ("encoder", "words"),
    [
        (nn.Linear(6, 4), r"shape \(2, 4\), but embeddings have shape \(2, 3\)"),
        (nn.Linear(5, 3), "cannot be multiplied"),
        (nn.Unflatten(1, (2, 3)), r"shape \(2, 2, 3\)"),
        (nn.LSTM(6, 3), "tensor"),
        (lambda n, d: "network", "must return a torch.nn.Module"),
    ],
    ids=["wide", "input", "axes", "tuple", "str"],
)
def test_encoder_of_the_wrong_shape_is_named(encoder, words, X):
    with pytest.raises(ValueError, match=words) as error:
        clone(GJE).set_params(encoder=encoder).fit(X)
    assert "encoder=" in str(error.value)


@pytest.mark.parametrize("loss", [*LOSSES, gje_loss, vicreg_loss])
@pytest.mark.filterwarnings("ignore")
def test_small_batches_are_refused_for_log_determinants_alone(loss, X):
    embedder = clone(GJE).set_params(
        loss=loss, embedding_dim=4, batch_size=7, max_iter=5
    )
    name = getattr(loss, "__name__", loss)
    if name.removesuffix("_loss") in ("infonce", "vicreg", "barlow", "sigreg"):
        assert embedder.fit(X).embedding_dim_ == 4
    else:
        with pytest.raises(ValueError, match="at least 8 samples in a batch"):
            embedder.fit(X)


def test_own_augmentation_is_used(X):
    def shift(batch, generator):
        return batch + torch.randn(batch.shape, generator=generator)

    fitted = clone(GJE).set_params(augmentation=shift).fit(X)
    assert fitted.score(X) == fitted.score(X)
    assert fitted.score(X) != clone(GJE).fit(X).score(X)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"augmentation": lambda b, g: b}, "views of every sample are identical"),
        ({"augmentation": lambda b, g: b / 0}, "not finite"),
        ({"batch_size": 1, "loss": "vicreg"}, "batch_size=1 .* 2 or more"),
        ({"embedding_dim": 101}, "at least 202 samples in a batch.*got 200"),
        (
            {"embedding_dim": 5, "batch_size": 9},
            "at least 10 samples in a batch.*got 9",
        ),
        ({"encoder": MLP(())}, "at least one"),
        ({"encoder": MLP((8, 0))}, "positive integers"),
        ({"encoder": MLP(norm="cube")}, "'norm' parameter of MLP"),
        ({"encoder": MLP}, "MLP is a class"),
        ({"encoder": (MLP(), MLP())}, "with views='pair' two"),
        ({"encoder": (MLP(),), "views": "pair"}, "with views='pair' two"),
        ({"encoder": ("mlp", "cnn"), "views": "pair"}, "encoder has 'cnn'"),
        ({"output": ["hidden", "last"]}, "must be one of"),
        ({"output": ["input"]}, "must be one of"),
        ({"output": ["hidden", "hidden"]}, "must be one of"),
        ({"loss": GJELoss}, "is a class"),
        ({"loss": GJELoss(logdet_weight=-1)}, "'logdet_weight' parameter of GJELoss"),
        ({"loss": JointLoss(0)}, "'n_components' parameter of JointLoss"),
        ({"device": "nowhere"}, "device='nowhere'"),
        ({"loss": GJELoss(rho=1.0)}, "rho"),
        ({"loss": SIGRegLoss(gje=GJELoss(rho=1.0))}, "rho"),
        ({"loss": SIGRegLoss(2.0)}, "must be at most 1 without gje"),
        ({"views": "pair"}, "requires y to be passed"),
        ({"trainer": {"max_epochs": 3}}, "max_epochs"),
        ({"trainer": {"callbacks": ["bell"]}}, "no callback"),
        ({"trainer": {"max_bytes": 1e6}}, "has them in memory"),
        ({"trainer": ["bell"]}, "'trainer' parameter"),
    ],
    ids=label,
)
def test_bad_settings_are_refused(params, words, X):
    with pytest.raises(ValueError, match=words):
        clone(GJE).set_params(**params).fit(X)


def test_given_views_need_no_teacher(X, Y):
    with pytest.raises(ValueError, match="y has one of its own"):
        clone(GJE).set_params(views="pair", encoder__target="ema").fit(X, Y)


def test_given_views_are_augmented_in_training_only(X, Y, held_out):
    """Noise keeps encoders from learning pairs by heart."""

    def none(batch, generator):
        return batch

    X, Y = X[:50], Y[:50]
    estimator = clone(GJE).set_params(views="pair", max_iter=200)
    noisy = estimator.fit(X, Y)
    by_heart = clone(estimator).set_params(augmentation=none).fit(X, Y)
    context, target = noisy.transform(X), noisy.transform_target(Y)
    assert_allclose(noisy._moments.context.mean, context.mean(axis=0))
    assert_allclose(noisy._moments.target.mean, target.mean(axis=0))
    assert noisy.score(*held_out) > by_heart.score(*held_out)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (np.ones((1, 3)), "1 sample"),
        (np.ones((9, 3)), "samples in X are identical"),
        (np.full((9, 3), np.nan), "NaN"),
        (np.full((9, 3), 1e200) * np.arange(9)[:, None], "Rescale X"),
    ],
)
def test_bad_rows_are_refused(rows, words):
    with pytest.raises(ValueError, match=words):
        clone(GJE).fit(rows)


def test_encoder_that_makes_no_numbers_is_told(X):
    encoder = nn.Linear(6, 3)
    nn.init.constant_(encoder.weight, np.nan)
    with pytest.raises(ValueError, match=r"encoder=.*not finite"):
        clone(GJE).set_params(encoder=encoder).fit(X)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"mixture": "auto"}, "'mixture' parameter of GMJEEmbedder"),
        ({"mixture__max_iter": -3}, "'max_iter' parameter of GaussianMixture"),
        ({"mixture__tol": "small"}, "'tol' parameter of GaussianMixture"),
    ],
    ids=label,
)
def test_bad_mixtures_are_refused(params, words, X):
    with pytest.raises(ValueError, match=words):
        clone(GMJE).set_params(**params).fit(X)


def test_moments_exclude_each_other(fitted, X):
    with pytest.raises(ValueError, match="exclude each other"):
        fitted.predict(X, return_std=True, return_cov=True)
    with pytest.raises(ValueError, match="n_samples=0 must be a positive"):
        fitted.sample(0)


def test_training_that_explodes_is_told_and_undone(X):
    with pytest.warns(ConvergenceWarning, match="Decrease learning_rate"):
        fitted = clone(GJE).set_params(learning_rate=1e6).fit(X)
    assert np.isfinite(fitted.transform(X)).all()


def test_loss_that_is_no_number_is_told(X):
    def loss(z_context, z_target):
        return (z_context - z_target).sum() * float("nan")

    with pytest.raises(FloatingPointError, match="Check what encoder"):
        clone(GJE).set_params(loss=loss).fit(X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_is_kept(dtype, X):
    fitted = clone(GJE).fit(X.astype(dtype))
    assert fitted.transform(X.astype(dtype)).dtype == dtype
    assert next(fitted.encoder_.parameters()).dtype == getattr(
        torch, np.dtype(dtype).name
    )


def test_pickle_answers_the_same(fitted, X):
    copy = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(copy.transform(X), fitted.transform(X))
    assert_array_equal(copy.predict(X), fitted.predict(X))
    assert copy.score(X) == fitted.score(X)


def test_lost_device_is_no_trouble_after_fit(fitted, X):
    copy = pickle.loads(pickle.dumps(fitted)).set_params(device="cuda:7")
    assert_array_equal(copy.transform(X), fitted.transform(X))


def test_refit_without_noise_forgets_nothing(X, Y):
    """Fitted attributes of another kind of view do not linger."""
    estimator = clone(GJE).set_params(views="pair").fit(X, Y)
    estimator.set_params(views="augment").fit(X)
    assert_array_equal(estimator.transform(X), clone(GJE).fit(X).transform(X))


def test_random_states_of_others_are_untouched(X):
    legacy = np.random.mtrand._rand
    before = legacy.get_state()[1].copy(), torch.get_rng_state().clone()
    fitted = clone(GMJE).fit(X)
    fitted.score(X)
    fitted.sample(3)
    assert_array_equal(legacy.get_state()[1], before[0])
    clone(GMJE).set_params(random_state=None).fit(X)
    assert torch.equal(torch.get_rng_state(), before[1])


def test_threads_give_the_same_bits(X):
    def answer(_):
        return clone(GMJE).fit(X).transform(X).tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(answer, range(4))) == {answer(None)}


def test_progress_is_printed(X, capsys):
    clone(GJE).set_params(verbose=1).fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[-1].startswith("[GJEEmbedder] step 40/40, loss ")


def test_pipeline_with_labels_before_a_classifier():
    X, y = load_digits(return_X_y=True)
    embedder = GMJEEmbedder(8, mixture=TWO, **{**SMALL, "max_iter": 80})
    pipeline = make_pipeline(embedder, LogisticRegression(max_iter=500))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert pipeline.fit(X[:600], y[:600]).score(X[600:], y[600:]) > 0.6


def test_output_is_a_table_if_one_is_wanted(X):
    estimator = clone(GJE).set_output(transform="pandas").fit(X)
    table = estimator.transform(X)
    assert list(table.columns) == list(estimator.get_feature_names_out())
    assert_array_equal(estimator.fit_transform(X), table)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::skgmje.embedding.CollapseWarning")
def test_grid_search_by_score_does_not_fall_into_the_trap():
    X, _ = load_digits(return_X_y=True)
    dims = {"embedding_dim": [2, 8]}
    gje = {"loss": [GJELoss()], "loss__rho": [0.9], **dims}
    embedder = GJEEmbedder(encoder=MLP((32,)), max_iter=80, random_state=0)
    grid = [{"loss": ["naive"], **dims}, gje]
    search = GridSearchCV(embedder, grid, cv=2, refit=False).fit(X[:600])
    assert search.best_params_["loss"] != "naive"
    scores = search.cv_results_["mean_test_score"]
    is_naive = [p["loss"] == "naive" for p in search.cv_results_["params"]]
    assert scores[is_naive].max() < scores[np.logical_not(is_naive)].min()


def test_views_in_parts_are_as_good_as_whole(X, monkeypatch):
    fitted = clone(GJE).fit(X)
    monkeypatch.setattr("skgmje.embedding._encoder._DRAWN_ROWS", 64)
    monkeypatch.setattr("skgmje.embedding._views._CHUNK_ROWS", 64)
    in_parts = clone(GJE).fit(X)
    assert_allclose(in_parts.score(X), fitted.score(X), atol=0.1)
    assert_array_equal(in_parts.transform(X), fitted.transform(X))
    shapes = [moment.covariances.shape for moment in in_parts._moments]
    assert shapes == [(1, 3, 3), (1, 3, 3), (1, 6, 6)]
