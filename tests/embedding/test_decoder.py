"""The kernel decoder: what it learns, answers and refuses."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

import skgmje
from skgmje.embedding import (
    CollapseWarning,
    IsotropicKernel,
    KernelDecoder,
    PatchKernel,
)

SMALL = {"max_iter": 150, "hidden_layer_sizes": (64, 32), "random_state": 0}
BASE = KernelDecoder(4, **SMALL)
SEVERAL = KernelDecoder(2, n_centers=4, kernel=IsotropicKernel(kappa=0.1), **SMALL)
QUICK = {"max_iter": 3, "hidden_layer_sizes": (8,), "random_state": 0}


@pytest.fixture(scope="module")
def X():
    return load_digits().data[:1200]


@pytest.fixture(scope="module")
def held_out():
    return load_digits().data[1200:]


@pytest.fixture(scope="module")
def one(X):
    return clone(BASE).fit(X)


@pytest.fixture(scope="module")
def several(X):
    return clone(SEVERAL).fit(X)


def test_shapes(several, X):
    codes = several.transform(X)
    assert codes.shape == (1200, 2)
    assert several.inverse_transform(codes).shape == X.shape
    assert several.reconstruct(X).shape == X.shape
    assert several.bound_samples(X).shape == (1200,)
    assert several.decode(codes).means.shape == (1200, 4, 64)
    rows, component = several.sample(7)
    assert rows.shape == (7, 64)
    assert component.shape == (7,)
    assert len(several.get_feature_names_out()) == 2
    assert len(several.loss_curve_) == several.n_iter_ == 150


def test_codes_say_more_than_principal_components(one, X, held_out):
    pca = PCA(4).fit(X)
    linear = pca.inverse_transform(pca.transform(held_out))
    assert -one.score(held_out) < 0.9 * np.mean((linear - held_out) ** 2)


def test_codes_are_standardised(one, X):
    codes = one.transform(X)
    assert_allclose(codes.std(axis=0), 1, atol=0.2)
    assert_allclose(codes.mean(axis=0), 0, atol=0.2)


def test_several_centres_differ_where_the_code_is_small(several, held_out):
    codes = several.transform(held_out)
    mean = several.inverse_transform(codes)
    nearest = np.mean((several.reconstruct(held_out) - held_out) ** 2)
    assert nearest < 0.95 * np.mean((mean - held_out) ** 2)
    means = several.decode(codes).means
    assert_allclose(means.mean(axis=1), mean, atol=1e-10)
    assert means.std(axis=1).mean() > 0.1


def test_reconstruction_is_the_nearest_centre(several, X):
    means = several.decode(several.transform(X[:50])).means
    errors = ((means - X[:50, None]) ** 2).sum(-1)
    found = ((several.reconstruct(X[:50]) - X[:50]) ** 2).sum(-1)
    assert_allclose(found, errors.min(axis=1), rtol=1e-9)


def test_one_centre_is_mean_and_reconstruction(one, X):
    rows = one.inverse_transform(one.transform(X))
    assert_allclose(one.reconstruct(X), rows, rtol=1e-12)
    assert_allclose(one.score(X), -np.mean((rows - X) ** 2))


def test_decoded_density_fits_what_is_left(one, X):
    mixture = one.decode(one.transform(X))
    variance = np.mean((mixture.mean - X) ** 2)
    assert_allclose(mixture.covariances, variance, rtol=1e-6)
    assert np.isfinite(mixture.log_prob(X)).all()


def test_last_losses_are_the_squared_error(one, X):
    scale = one._units.scale
    assert_allclose(one.loss_curve_[-20:].mean() * scale**2, -one.score(X), rtol=0.15)


@pytest.mark.parametrize("name", ["one", "several"])
def test_bound_is_that_of_the_formula(request, name, X):
    decoder = request.getfixturevalue(name)
    mixture = decoder.decode(decoder.transform(X[:9]))
    v, d = decoder.kernel_variance_, 64
    means = mixture.means
    fit = -((means - X[:9, None]) ** 2).sum(-1) / (2 * v)
    fit = np.log(np.exp(fit).mean(1)) - d / 2 * np.log(2 * np.pi * v)
    norm = -((means[:, :, None] - means[:, None]) ** 2).sum(-1) / (4 * v)
    norm = np.log(np.exp(norm).mean((1, 2))) - d / 2 * np.log(4 * np.pi * v)
    assert_allclose(decoder.bound_samples(X[:9]), 2 * fit - norm, rtol=1e-8)


@pytest.mark.parametrize("kernel", [IsotropicKernel, PatchKernel])
def test_one_variance_in_a_sequence_is_that_one(X, kernel):
    shape = {"image_shape": (8, 8)} if kernel is PatchKernel else {}
    plain, listed = (
        KernelDecoder(n_centers=2, kernel=kernel(variance=v, **shape), **QUICK).fit(X)
        for v in (300.0, [300.0])
    )
    assert_array_equal(listed.loss_curve_, plain.loss_curve_)
    assert_array_equal(listed.bound_samples(X), plain.bound_samples(X))
    assert listed.kernel_variance_ == plain.kernel_variance_


@pytest.mark.parametrize("objective", ["sample", "batch"])
def test_each_of_several_variances_counts_and_their_order_does_not(X, objective):
    def fit(*values):
        kernel = IsotropicKernel(list(values))
        decoder = KernelDecoder(
            n_centers=2, objective=objective, kernel=kernel, **QUICK
        )
        return decoder.fit(X)

    known, turned = fit(100.0, 400.0, 900.0), fit(900.0, 100.0, 400.0)
    assert_allclose(turned.loss_curve_, known.loss_curve_, rtol=1e-5)
    assert_allclose(turned.bound_samples(X), known.bound_samples(X), rtol=1e-5)
    assert_allclose(turned.kernel_variance_, [900, 100, 400], rtol=1e-6)
    changed = (110.0, 400.0, 900.0), (100.0, 440.0, 900.0), (100.0, 400.0, 990.0)
    for other in changed:
        assert np.abs(fit(*other).transform(X) - known.transform(X)).max() > 1e-6


def test_bound_of_several_variances_is_that_of_the_formula(X):
    kernel = IsotropicKernel("multiscale", kappa=0.2)
    decoder = clone(SEVERAL).set_params(kernel=kernel, max_iter=20).fit(X)
    values, d = decoder.kernel_variance_, 64
    assert_allclose(values / values[1], [0.25, 1, 4, 16, 64])
    means = decoder.decode(decoder.transform(X[:9])).means
    squares = ((means - X[:9, None]) ** 2).sum(-1)
    pairs = ((means[:, :, None] - means[:, None]) ** 2).sum(-1)
    fit = np.mean([np.exp(-squares / (2 * v)).mean(1) for v in values], 0)
    norm = np.mean([np.exp(-pairs / (4 * v)).mean((1, 2)) for v in values], 0)
    heights = d / 2 * np.log(np.pi * values).mean()
    expected = 2 * np.log(fit) - np.log(norm) - heights
    assert_allclose(decoder.bound_samples(X[:9]), expected, rtol=1e-8)
    assert_allclose(pickle.loads(pickle.dumps(decoder)).kernel_variance_, values)


@pytest.mark.slow
def test_several_variances_need_no_kappa(X):
    """The bound of a batch leaves samples out where the only kernel is narrow."""
    found = {}
    for variance in ("auto", "multiscale"):
        kernel = IsotropicKernel(variance, kappa=0.1)
        decoder = clone(SEVERAL).set_params(kernel=kernel, objective="batch").fit(X)
        found[variance] = decoder.effective_samples_, decoder.score(X)
    assert found["multiscale"][0] > 200 > found["auto"][0]
    assert found["multiscale"][1] > found["auto"][1] + 1


@pytest.mark.parametrize(
    "variance", [[], [1.0, 0.0], [1.0, np.nan], [np.inf], ["auto"], [[1.0, 2.0]]]
)
@pytest.mark.parametrize("kernel", [IsotropicKernel, PatchKernel])
def test_bad_variances_are_named(X, kernel, variance):
    with pytest.raises(ValueError, match=r"variance=\[.* must be a positive, finite"):
        KernelDecoder(kernel=kernel(variance=variance)).fit(X)


def test_unit_of_features_changes_the_bound_by_its_logarithm(X):
    """Pixels of 8 bits are used as they are: only units change."""
    grey, share = X.astype(np.uint8), X / 16
    one, other = (KernelDecoder(**QUICK).fit(rows) for rows in (grey, share))
    assert_allclose(one.transform(grey), other.transform(share), atol=1e-5)
    assert_allclose(
        one.bound_samples(grey) + 64 * np.log(16), other.bound_samples(share), rtol=1e-5
    )
    assert_allclose(one.reconstruct(grey), 16 * other.reconstruct(share), atol=1e-3)


def test_samples_are_centres_of_drawn_codes(several, X):
    rows, component = several.sample(300, random_state=0)
    assert X.min() <= rows.min() <= rows.max() <= X.max()
    assert set(component) <= set(range(several.latent_mixture_.n_components))
    assert_allclose(rows.mean(axis=0), X.mean(axis=0), atol=1.5)
    assert_array_equal(several.sample(300, random_state=0)[0], rows)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("bounded", [True, False])
def test_units_and_range(X, standardize, bounded):
    rows = X * np.linspace(1, 5, 64) + 3
    params = {"standardize": standardize, "bounded": bounded}
    decoder = KernelDecoder(n_centers=2, **params, **QUICK).fit(rows)
    decoded = decoder.reconstruct(rows)
    if bounded:
        axis = 0 if standardize else None
        assert (decoded >= rows.min(axis=axis) - 1e-5).all()
        assert (decoded <= rows.max(axis=axis) + 1e-5).all()
    assert_allclose(decoded.mean(axis=0), rows.mean(axis=0), atol=12)
    mixture = decoder.decode(decoder.transform(rows[:3]))
    assert mixture.covariance_type == ("diag" if standardize else "spherical")
    assert np.isfinite(mixture.log_prob(rows[:3])).all()


def test_patches(X):
    decoder = KernelDecoder(
        4, n_centers=2, kernel=PatchKernel(image_shape=(8, 8)), **SMALL
    ).fit(X)
    assert -decoder.score(X) < 0.7 * X.var(axis=0).mean()
    assert np.isfinite(decoder.bound_samples(X)).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "image_shape=None of kernel='patches' must be"),
        ({"image_shape": (8, 9)}, "n_features=64"),
        ({"image_shape": (8, 8, 1, 1)}, "height, width"),
        ({"image_shape": (8, 8), "size": 3}, "size=3 of the patches must divide"),
        ({"size": 0}, "'size' parameter of PatchKernel"),
    ],
)
def test_patches_that_do_not_fit(X, params, message):
    with pytest.raises(ValueError, match=message):
        KernelDecoder(kernel=PatchKernel(**params)).fit(X)


@pytest.mark.parametrize("shape", [(5, 5), (4, 8), (8, 8, 3)])
def test_rows_of_another_image_shape_are_refused(X, shape):
    with pytest.raises(ValueError, match=r"image_shape=.* n_features=64"):
        KernelDecoder(kernel=PatchKernel(image_shape=shape)).fit(X)


def test_dead_gradient_is_said(X):
    params = {"kernel": IsotropicKernel(1.0), **SMALL, "max_iter": 30}
    decoder = KernelDecoder(4, n_centers=4, objective="batch", **params)
    with pytest.warns(CollapseWarning, match="samples of a batch carry the gradient"):
        decoder.fit(X)
    assert decoder.effective_samples_ < 20
    assert_allclose(decoder.kernel_variance_, 1.0, rtol=1e-6)


@pytest.mark.parametrize("objective", ["sample", "batch"])
def test_tuned_variance_keeps_the_gradient_alive(X, objective):
    decoder = clone(BASE).set_params(objective=objective, n_centers=2).fit(X)
    assert decoder.effective_samples_ > 150
    residual = 64 * decoder.residual_variance_ * decoder._units.scale**2
    # It lags behind.
    assert_allclose(decoder.kernel_variance_, 0.5 * residual, rtol=0.5)


def test_small_tables_have_smaller_batches_and_mixtures(X):
    decoder = KernelDecoder(**QUICK).fit(X[:20])
    assert decoder.latent_mixture_.n_components == 2
    assert np.isfinite(decoder.reconstruct(X[:20])).all()


@pytest.mark.parametrize(("n", "n_steps"), [(5, 100), (20, 160), (120, 800)])
def test_few_samples_need_fewer_steps(X, n, n_steps):
    decoder = KernelDecoder(2, hidden_layer_sizes=(4,), random_state=0).fit(X[:n])
    assert decoder.n_iter_ == len(decoder.loss_curve_) == n_steps


def test_automatic_number_of_components(X):
    decoder = KernelDecoder(2, n_components="auto", **QUICK).fit(X[:300])
    assert 1 <= decoder.latent_mixture_.n_components <= 300 // 8


@pytest.mark.parametrize("value", [0.0, 255.0])
def test_identical_images_are_said(value):
    rows = np.full((30, 16), value)
    with pytest.warns(CollapseWarning, match="All samples are identical"):
        decoder = KernelDecoder(**QUICK).fit(rows)
    assert_allclose(decoder.reconstruct(rows), rows, atol=1e-4)
    assert_allclose(decoder.sample(3)[0], rows[:3], atol=1e-4)
    assert np.isfinite(decoder.bound_samples(rows)).all()


def test_constant_pixels(X):
    """The corners of digits never have ink."""
    rows = np.hstack([X, np.full((len(X), 3), 7.0)])
    decoder = KernelDecoder(standardize=True, **QUICK).fit(rows)
    assert_allclose(decoder.reconstruct(rows)[:, -3:], 7.0, atol=1e-5)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"code_dim": 0}, "code_dim"),
        ({"n_centers": 0}, "n_centers"),
        ({"kernel": IsotropicKernel(kappa=0)}, "'kappa' parameter of IsotropicKernel"),
        ({"kernel": "round"}, "'kernel' parameter of KernelDecoder"),
        ({"kernel": IsotropicKernel}, "kernel: IsotropicKernel is a class"),
        ({"trainer": {"max_bytes": 1e6}}, "KernelDecoder has them in memory"),
    ],
)
def test_parameters_out_of_range(X, params, words):
    with pytest.raises(ValueError, match=words):
        KernelDecoder(**params).fit(X)


def test_more_centres_than_memory_holds(X):
    with pytest.raises(ValueError, match=r"n_centers=1000000 needs about \d.* bytes"):
        KernelDecoder(n_centers=10**6).fit(X)


@pytest.mark.parametrize("sizes", [(), (0,), (8.5,)])
def test_wrong_layers(X, sizes):
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        KernelDecoder(hidden_layer_sizes=sizes).fit(X)


def test_wrong_codes(one):
    with pytest.raises(ValueError, match="code_dim=4"):
        one.inverse_transform(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="n_samples=0"):
        one.sample(0)


def test_failed_training_is_said(X):
    params = {**SMALL, "learning_rate": 1e6, "bounded": False}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decoder = KernelDecoder(**params).fit(X)
    assert any(issubclass(w.category, ConvergenceWarning) for w in caught)
    assert np.isfinite(decoder.reconstruct(X)).all()


def test_same_seed_same_bits_and_no_global_state(X):
    state, legacy = torch.get_rng_state(), np.random.mtrand._rand
    before = legacy.get_state()[1].copy()
    one, two = (KernelDecoder(n_centers=2, **QUICK).fit(X) for _ in range(2))
    assert one.sample(5)[0].tobytes() == two.sample(5)[0].tobytes()
    assert one.transform(X).tobytes() == two.transform(X).tobytes()
    assert torch.equal(torch.get_rng_state(), state)
    assert_array_equal(legacy.get_state()[1], before)
    other = KernelDecoder(n_centers=2, **{**QUICK, "random_state": 1}).fit(X)
    assert (other.transform(X) != one.transform(X)).any()


def test_single_precision_and_pickle(X):
    rows = X.astype(np.float32)
    decoder = pickle.loads(pickle.dumps(KernelDecoder(**QUICK).fit(rows)))
    codes = decoder.transform(rows)
    assert codes.dtype == decoder.inverse_transform(codes).dtype == np.float32
    assert decoder.reconstruct(rows).dtype == np.float32


@pytest.mark.parametrize("bounded", [True, False])
def test_file(tmp_path, X, bounded):
    decoder = KernelDecoder(2, n_centers=3, bounded=bounded, **QUICK).fit(X)
    decoder.save(tmp_path / "decoder")
    loaded = skgmje.load(tmp_path / "decoder")
    assert_array_equal(loaded.transform(X), decoder.transform(X))
    assert_array_equal(loaded.reconstruct(X), decoder.reconstruct(X))
    assert_array_equal(loaded.bound_samples(X), decoder.bound_samples(X))
    assert_array_equal(loaded.sample(5)[0], decoder.sample(5)[0])


def test_progress_and_callbacks(X, capsys):
    KernelDecoder(verbose=1, **QUICK).fit(X)
    assert "[KernelDecoder] step 3/3" in capsys.readouterr().out
    with pytest.raises(ValueError, match="max_epochs"):
        KernelDecoder(trainer={"max_epochs": 3}).fit(X)


def test_answers_do_not_depend_on_how_many_rows_are_encoded_together(X, one):
    few = clone(one).set_params(batch_size=8)
    vars(few).update({k: v for k, v in vars(one).items() if k != "batch_size"})
    assert_allclose(few.transform(X), one.transform(X), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(8, 8), (4, 8, 2)])
def test_images_are_rows_of_another_shape(X, shape, tmp_path):
    pixels = X.astype(np.uint8)
    images = pixels.reshape(-1, *shape)
    flat = KernelDecoder(2, **QUICK).fit(pixels.astype(np.float32))
    decoder = KernelDecoder(2, **QUICK).fit(images)
    codes = decoder.transform(images)
    assert codes.dtype == np.float32
    assert_array_equal(codes, flat.transform(pixels.astype(np.float32)))
    assert_array_equal(decoder.transform(pixels), codes)
    assert decoder.score(images) == flat.score(pixels.astype(np.float32))
    assert decoder.decode(codes[:3]).means.shape == (3, 1, 64)
    decoder.save(tmp_path / "decoder")
    for model in (decoder, skgmje.load(tmp_path / "decoder")):
        assert_array_equal(
            model.inverse_transform(codes),
            flat.inverse_transform(codes).reshape(-1, *shape),
        )
        assert model.reconstruct(images).shape == images.shape
        assert model.sample(3)[0].shape == (3, *shape)
        decoded = model.inverse_transform(codes.astype(np.float64))
        assert decoded.dtype == model.sample(3)[0].dtype == np.float32


def test_images_say_how_patches_are_cut(X):
    images = X.astype(np.float32).reshape(-1, 8, 8)
    decoder = KernelDecoder(2, kernel="patches", **QUICK).fit(images)
    told = KernelDecoder(2, kernel=PatchKernel(4, image_shape=(8, 8)), **QUICK)
    told.fit(X.astype(np.float32))
    assert_array_equal(
        decoder.transform(images), told.transform(images.reshape(-1, 64))
    )
    with pytest.raises(ValueError, match="image_shape"):
        clone(told).set_params(kernel__image_shape=(4, 16)).fit(images)


def test_images_of_another_kind_are_refused(X):
    decoder = KernelDecoder(2, **QUICK).fit(X.astype(np.uint8).reshape(-1, 8, 8))
    with pytest.raises(ValueError, match="multiply these by 255"):
        decoder.transform(X.reshape(-1, 8, 8) / 255)
    with pytest.raises(ValueError, match="is expected"):
        decoder.transform(X.reshape(-1, 4, 16))
    with pytest.raises(ValueError, match="channels first"):
        KernelDecoder(2, **QUICK).fit(np.zeros((9, 3, 8, 8)))
