"""Images in, embeddings out: shapes, scales, layers and other views."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from torch import nn

import skgmje

# Inside: pictures and rows are turned into each other inside of a fit.
from skgmje.embedding import (
    MLP,
    ConvNet,
    Encoder,
    GJEEmbedder,
    GJELoss,
    GMJEEmbedder,
    ImageAugmentation,
    _encoder,
)
from skgmje.embedding._base import _OF_IMAGES, _OF_ROWS, choose_size
from skgmje.embedding._encoder import Convolutions, Trunk, ViewPair
from skgmje.embedding._losses import covariance
from skgmje.embedding._views import (
    AUGMENTATIONS,
    ImageFormat,
    flatten_images,
    to_images,
    to_rows,
)
from skgmje.mixture import GaussianMixture

QUICK = {"max_iter": 10, "random_state": 0}
SMALL = {"encoder": ConvNet((8,)), **QUICK}


@pytest.fixture(scope="module")
def images():
    """Digits, as integers of shape (200, 8, 8)."""
    return load_digits().images[:200].astype(np.uint8)


@pytest.fixture(scope="module")
def colors():
    """Pictures of eight by six pixels with three channels."""
    return np.random.default_rng(0).uniform(size=(60, 8, 6, 3))


@pytest.fixture(scope="module")
def fitted(images):
    return GJEEmbedder(4, augmentation="aligned", **SMALL).fit(images)


@pytest.mark.parametrize("estimator", [GJEEmbedder, GMJEEmbedder])
@pytest.mark.parametrize(
    "params", [{}, {"views": "neighbors"}, {"encoder__target": "ema"}]
)
def test_images_are_embedded(estimator, params, colors):
    extra = {}
    if estimator is GMJEEmbedder:
        extra["mixture"] = GaussianMixture(2, shrinkage="auto", reg_covar=1e-4)
    embedder = clone(estimator(4, augmentation="scene", **SMALL, **extra))
    embedder.set_params(**params).fit(colors)
    assert embedder.image_shape_ == (8, 6, 3)
    assert embedder.n_features_in_ == 8 * 6 * 3
    assert embedder.transform(colors).shape == (60, 4)
    assert embedder.transform(colors).dtype == np.float32
    assert embedder.score_samples(colors).shape == (60,)
    assert embedder.score_samples(colors, colors[::-1]).shape == (60,)
    assert embedder.predict(colors, return_std=True)[1].shape == (60, 4)
    assert np.isfinite(embedder.score(colors))
    assert embedder.information_.shape == (2,)


def test_rows_with_a_shape_are_the_same_images(fitted, images):
    rows = images.reshape(len(images), -1)
    embedder = clone(fitted).set_params(encoder__image_shape=(8, 8)).fit(rows)
    assert_array_equal(embedder.transform(rows), fitted.transform(images))
    assert_array_equal(fitted.transform(rows), fitted.transform(images))
    frame = pytest.importorskip("pandas").DataFrame(rows).rename(columns=str)
    framed = clone(embedder).fit(frame)
    assert_array_equal(framed.transform(frame), fitted.transform(images))
    assert framed.image_shape_ == (8, 8, 1)


def test_type_and_unit_of_pixels_change_nothing_but_rounding(images):
    """Training in half precision would make more of it."""
    embedder = GJEEmbedder(4, **{**SMALL, "max_iter": 0})
    expected = embedder.fit(images).transform(images)
    found = clone(embedder).fit(images / 255).transform(images / 255)
    assert_allclose(found, expected, atol=1e-4)


def test_layers(fitted, images):
    embedder = clone(fitted).set_params(output=["embedding", "input"]).fit(images)
    widths = {"embedding": 4, "hidden": 8, "multi": 24 * 9 + 48 * 4 + 96}
    one = GJEEmbedder(4, **SMALL).fit(images)
    for layer, width in widths.items():
        one.set_params(output=layer)
        assert one.transform(images).shape == (200, width)
        assert one.transform_target(images, output=layer).shape == (200, width)
    assert embedder.transform(images).shape == (200, 4 + 64)
    names = embedder.get_feature_names_out()
    assert len(names) == 4 + 64
    Z = embedder.transform(images)
    assert_allclose(Z[:, :4], fitted.transform(images), rtol=1e-5, atol=1e-6)
    assert_allclose(Z[:, :4].var(axis=0).sum(), Z[:, 4:].var(axis=0).sum(), rtol=1e-2)
    with pytest.raises(ValueError, match="must be one of"):
        one.transform_target(images, output="last")
    with pytest.raises(ValueError, match="Fit again with this output"):
        one.set_params(output=["hidden", "input"]).transform(images)
    turned = embedder.set_params(output=["input", "embedding"]).transform(images)
    assert_array_equal(turned, np.hstack([Z[:, 4:], Z[:, :4]]))


def test_multi_of_a_perceptron_is_all_its_layers(images):
    embedder = GJEEmbedder(3, encoder=MLP((6, 5)), output="multi", max_iter=20)
    rows = images.reshape(len(images), -1)
    assert embedder.fit(rows).transform(rows).shape == (200, 11)
    hidden = clone(embedder).set_params(random_state=0, output="hidden")
    both = clone(hidden).set_params(output="multi")
    last = both.fit(rows).transform(rows)[:, 6:]
    assert_array_equal(hidden.fit(rows).transform(rows), last)


def test_own_modules_and_functions_see_images(colors):
    seen = []

    def augment(batch, generator):
        seen.append(batch.shape[1:])
        return batch + 0.1 * torch.randn(batch.shape, generator=generator)

    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(96, 4))
    embedder = GJEEmbedder(4, encoder=network, augmentation=augment, max_iter=2)
    assert embedder.fit(colors).transform(colors).shape == (60, 4)
    assert set(seen) == {(3, 8, 6)}
    wrong = clone(embedder).set_params(encoder=nn.Linear(3, 4))
    with pytest.raises(ValueError, match=r"images of shape \(2, 3, 8, 6\)"):
        wrong.fit(colors)
    with pytest.raises(ValueError, match="encoder of your own are unknown"):
        embedder.set_params(output="multi").fit(colors)


def test_two_views_of_other_shapes(images, colors):
    params = {**SMALL, "views": "pair"}
    embedder = GJEEmbedder(4, **params).fit(images[:60], colors)
    assert embedder.transform(images[:60]).shape == (60, 4)
    assert embedder.transform_target(colors).shape == (60, 4)
    assert np.isfinite(embedder.score(images[:60], colors))
    rows = colors.reshape(60, -1)
    mixed = GJEEmbedder(4, views="pair", **QUICK).fit(images[:60], rows)
    assert mixed.transform_target(rows).shape == (60, 4)
    with pytest.raises(ValueError, match=r"y holds rows.*an encoder each"):
        clone(embedder).fit(images[:60], rows)
    pair = ConvNet((8,)), ConvNet((8,), image_shape=(8, 6, 3))
    said = clone(embedder).set_params(encoder=pair).fit(images[:60], rows)
    Z = embedder.transform_target(colors)
    assert_array_equal(said.transform_target(colors), Z)
    assert_array_equal(said.transform_target(rows), Z)
    assert_array_equal(
        clone(said).fit(images[:60], rows.tolist()).transform_target(rows), Z
    )
    for bad, words in (
        (None, "requires y to be passed"),
        (rows[:, :9], r"image_shape=\(8, 6, 3\) .* but y has n_features=9"),
        (rows[:, 0], "is no view"),
        (np.where(rows < 0.1, np.nan, rows), "y contains NaN"),
    ):
        with pytest.raises(ValueError, match=words):
            clone(said).fit(images[:60], bad)
    with pytest.raises(ValueError, match="y holds images of shape"):
        embedder.transform_target(colors[:, :4])


def test_without_a_step_the_encoder_is_the_control(images):
    control = GJEEmbedder(4, **{**SMALL, "max_iter": 0})
    control.fit(images)
    assert control.loss_curve_.shape == (0,)
    assert_array_equal(control.information_[0], control.information_[1])
    start = clone(control).set_params(max_iter=1, learning_rate=1e-12).fit(images)
    for a, b in zip(
        control.encoder_.parameters(), start.encoder_.parameters(), strict=True
    ):
        assert_allclose(a.detach(), b.detach(), atol=1e-6)


def test_small_batches_average_their_moments(images):
    """Eight rows have no covariance of full rank in six dimensions."""
    params = {"batch_size": 8, "max_iter": 150, "random_state": 0}
    loss = GJELoss(moment_decay=0.5)
    embedder = GJEEmbedder(6, loss=loss, **params).fit(images)
    assert embedder.effective_rank_ > 4
    assert embedder.information_[1] > embedder.information_[0] + 0.5
    with pytest.raises(ValueError, match=r"at least 12 samples .*moment_decay=0.5"):
        GJEEmbedder(6, **params).fit(images)


def test_averaged_moments_have_the_gradient_of_the_batch():
    z = torch.randn((2, 30, 3), generator=torch.Generator().manual_seed(0))
    z.requires_grad_()
    pair = ViewPair(
        *(Trunk(nn.Linear(3, 3), nn.Identity()), None),
        follows=False,
        augmentations=(None, None),
        n_context=3,
        random_state=None,
    )
    pair.keep_moments(torch.eye(3).repeat(2, 1, 1), 0.25)
    averages = pair._average(*z)
    own = [covariance(view)[1] for view in z]
    for average, alone in zip(averages, own, strict=True):
        assert_allclose(average.detach(), 0.25 * torch.eye(3) + 0.75 * alone.detach())
    weight = torch.arange(9.0).reshape(3, 3)
    gradients = [
        torch.autograd.grad((found[0] * weight).sum(), z)[0]
        for found in (averages, own)
    ]
    assert_allclose(*gradients, rtol=1e-5)
    assert_allclose(pair.moments, torch.stack(averages).detach())


@pytest.mark.parametrize(
    "shape",
    [
        *((2, 2), (3, 1)),
        *(pytest.param(s, marks=pytest.mark.slow) for s in ((16, 8), (28, 5))),
    ],
)
def test_narrow_images_train_as_others_do(shape, images):
    """Half precision gets their convolutions wrong on some processors."""
    X = np.resize(images, (100, *shape)).astype(float)
    fits = [GJEEmbedder(2, max_iter=20, random_state=0).fit(X) for _ in "ab"]
    assert np.isfinite(fits[0].loss_curve_).all()
    assert_array_equal(fits[0].loss_curve_, fits[1].loss_curve_)


def test_narrow_images_are_multiplied_in_single_precision(monkeypatch):
    seen = []

    def fast(module, X):
        seen.append(module.shape)
        return nullcontext()

    monkeypatch.setattr(_encoder, "fast_training", fast)
    for shape in ((9, 9, 1), (8, 9, 1), (9, 8, 1)):
        network = Convolutions(shape, (4,), 4, torch.Generator().manual_seed(0))
        network.eval()(torch.zeros(2, shape[0] * shape[1]))
    assert seen == [(9, 9, 1)]


def test_fit_leaves_the_global_random_state(images, tmp_path):
    pytest.importorskip("safetensors")
    state = torch.get_rng_state()
    fitted = GJEEmbedder(4, augmentation="scene", **SMALL).fit(images)
    fitted.save(tmp_path / "embedder")
    skgmje.load(tmp_path / "embedder")
    assert torch.equal(state, torch.get_rng_state())


def test_two_identical_views_are_refused(images):
    with pytest.raises(ValueError, match="identical"):
        GJEEmbedder(4, views="pair", **SMALL).fit(images + 0.1, images + 0.1)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("layers", [("hidden", "embedding"), ("embedding", "hidden")])
def test_layer_may_change_after_the_fit(own, layers, images, tmp_path):
    pytest.importorskip("safetensors")
    pytest.importorskip("pandas")
    custom = {"encoder": nn.Sequential(nn.Flatten(), nn.Linear(64, 4))} if own else {}
    embedder = GJEEmbedder(4, output=layers[0], **{**SMALL, **custom}).fit(images)
    embedder.set_params(output=layers[1]).set_output(transform="pandas")
    Z = embedder.transform(images)
    assert list(Z.columns) == list(embedder.get_feature_names_out())
    embedder.save(tmp_path / "embedder")
    loaded = skgmje.load(tmp_path / "embedder", custom=custom)
    assert_array_equal(loaded.transform(images), Z)


def test_networks_of_others_are_used_as_they_are(images):
    body = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.BatchNorm1d(4))
    body[2].running_mean += 5
    untrained = GJEEmbedder(4, encoder=body, max_iter=0, random_state=0).fit(images)
    assert_array_equal(untrained.encoder_.body.network[2].running_mean, 5 * np.ones(4))
    body.requires_grad_(False)
    frozen = GJEEmbedder(4, encoder=body, output="hidden", **QUICK).fit(images)
    assert_array_equal(frozen.encoder_.body.network[2].running_mean, 5 * np.ones(4))


def test_augmentation_may_be_a_network(images):
    class Blur(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, batch, generator):
            return self.layer(batch) + torch.randn(batch.shape, generator=generator)

    fitted = GJEEmbedder(4, augmentation=Blur(), **SMALL).fit(images)
    assert np.isfinite(fitted.score(images))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_other_view_has_its_own_pooling_and_layers(images):
    big = np.kron(images[:20], np.ones((1, 4, 4)))
    network = nn.Sequential(nn.Flatten(), nn.Linear(1024, 4))
    params = {"views": "pair", "augmentation": "scene", **SMALL, "max_iter": 2}
    fitted = GJEEmbedder(4, **params).fit(big, big[:, ::-1])
    assert fitted.encoder_.body.size == [1, 1]
    assert fitted.target_encoder_.body.size == [4, 4]
    params["encoder"] = ("auto", network)
    own = GJEEmbedder(4, output="multi", **params)
    assert own.fit(big, big[:, ::-1]).transform(big).shape[0] == 20


def test_width_that_is_chosen_may_be_written_out():
    for auto, dim in ((_OF_IMAGES, 64), (_OF_ROWS, 32)):
        sizes = [choose_size(GJEEmbedder(d), 5000, auto) for d in ("auto", dim)]
        assert sizes[0] == sizes[1] == (dim, 256)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda X: X[:, None], "channels first.*transpose"),
        (lambda X: X[:, None, None], "5 axes"),
        (lambda X: X[:, :0], "without pixels"),
        (lambda X: np.where(X > 8, np.nan, X), "NaN"),
        (lambda X: np.full_like(X, 3), "identical"),
        (lambda X: X[:1], "minimum of 2"),
        (lambda X: X * 1e60, "pixel of size"),
    ],
)
def test_images_that_are_none(images, change, words):
    with pytest.raises(ValueError, match=words):
        GJEEmbedder(4, **SMALL).fit(change(images))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (
            {"encoder": Encoder(image_shape=(4, 8))},
            r"image_shape=\(4, 8, 1\) has 32 values",
        ),
        ({"encoder": Encoder(image_shape=(8,))}, "must be .height, width"),
        ({"encoder": Encoder(image_shape=(8.0, 8))}, "must be .height, width"),
        ({"encoder": Encoder(image_shape=(1, 8, 8))}, "channels first"),
        ({"encoder": "convnet"}, "'convnet' is for images"),
        ({"augmentation": "aligned"}, "'aligned' is for images"),
        ({"augmentation": ImageAugmentation(flip=True)}, "is for images"),
        ({"encoder": "resnet"}, "'encoder' parameter"),
    ],
)
def test_settings_that_do_not_suit_rows(images, params, words):
    rows = images.reshape(len(images), -1)
    with pytest.raises(ValueError, match=words):
        GJEEmbedder(4, **QUICK).set_params(**params).fit(rows)


def test_scales_that_do_not_fit(fitted, images):
    """Whole numbers up to 255 and fractions up to 1 are the usual mistake."""
    bright = images * 15
    short = clone(fitted).set_params(max_iter=1)
    whole = clone(short).fit(bright)
    with pytest.raises(ValueError, match=r"fractions up to .* values up to"):
        whole.transform(bright / 255)
    with pytest.raises(ValueError, match=r"whole numbers up to .* fractions"):
        clone(short).fit(bright / 255).transform(bright)
    with pytest.raises(ValueError, match=r"fractions up to .* values up to"):
        clone(short).fit(images * 15.9).transform(images / 16.1)
    with pytest.raises(ValueError, match="pixel of size"):
        whole.transform(bright * 1e60)
    assert np.isfinite(whole.transform(bright.astype(float))).all()
    assert np.isfinite(whole.transform(np.zeros((1, 8, 8)))).all()
    with pytest.raises(ValueError, match="image_shape before fit"):
        whole.transform(bright[:, :4])
    with pytest.raises(ValueError, match="64 features"):
        whole.transform(bright[:, :4].reshape(200, 32))


def test_file_keeps_images(fitted, images, tmp_path):
    pytest.importorskip("safetensors")
    fitted.save(tmp_path / "embedder")
    loaded = skgmje.load(tmp_path / "embedder")
    assert_array_equal(loaded.transform(images), fitted.transform(images))
    params = loaded.get_params(), fitted.get_params()
    encoders = [str(known.pop("encoder")) for known in params]
    assert encoders == [str(fitted.encoder)] * 2
    assert params[0] == params[1]


def test_units_of_images_are_those_of_channels(colors):
    rows, shape = flatten_images(colors)
    units = ImageFormat.of(rows, shape).standardization(rows, per_channel=True)
    Z = units.forward(rows).reshape(-1, 3)
    assert_allclose(Z.mean(axis=0), 0, atol=1e-12)
    assert_allclose(Z.std(axis=0), 1)
    shared = ImageFormat.of(rows, shape).standardization(rows, per_channel=False)
    assert shared.scale.shape == ()


def test_rows_and_images_are_two_ways_to_look(colors):
    rows = torch.from_numpy(flatten_images(colors)[0])
    batch = to_images(rows, (8, 6, 3))
    assert batch.shape == (60, 3, 8, 6)
    assert_array_equal(batch[5, 2], colors[5, :, :, 2])
    assert_array_equal(to_rows(batch), rows)


class TestAugmentation:
    """Each change alone does what its formula says."""

    def draw(self, images, seed=0, **params):
        generator = torch.Generator().manual_seed(seed)
        return ImageAugmentation(**params)(images, generator)

    @pytest.fixture
    def batch(self):
        return torch.randn((40, 2, 6, 6), generator=torch.Generator().manual_seed(1))

    def test_nothing_changes_nothing(self, batch):
        assert_array_equal(self.draw(batch), batch)

    @pytest.mark.parametrize(
        ("params", "views"),
        [
            ({"flip": True}, [lambda x: x, lambda x: x.flip(-1)]),
            ({"turn": True}, [lambda x, k=k: x.rot90(k, (-2, -1)) for k in range(4)]),
        ],
    )
    def test_each_image_is_one_of_its_views(self, batch, params, views):
        found = self.draw(batch, **params)
        expected = torch.stack([view(batch) for view in views])
        match = ((found - expected).abs() < 1e-4).all(dim=(2, 3, 4))
        assert (match.sum(dim=0) == 1).all()
        assert (match.sum(dim=1) > 2).all()

    def test_oblong_images_are_turned_by_half(self, batch):
        found = self.draw(batch[..., :4], turn=True)
        views = torch.stack([batch[..., :4], batch[..., :4].rot90(2, (-2, -1))])
        assert ((found - views).abs() < 1e-4).all(dim=(2, 3, 4)).any(dim=0).all()

    def test_crops_lie_inside(self):
        x = torch.linspace(0, 1, 12).expand(200, 1, 12, 12)
        found = self.draw(x, crop=0.3)
        assert found.min() >= 0
        assert found.max() <= 1
        width = found[:, 0, 0, -1] - found[:, 0, 0, 0]
        assert width.min() < 0.7 < width.max() <= 1.01

    @pytest.mark.parametrize("crop", [0.3, 0.8, 0.95])
    def test_crops_have_the_area_that_is_said(self, crop):
        ramp = torch.arange(12.0).expand(12, 12)
        found = self.draw(torch.stack([ramp, ramp.T]).expand(500, 2, 12, 12), crop=crop)
        width = found[:, 0, 6, 6] - found[:, 0, 6, 5]
        height = found[:, 1, 6, 6] - found[:, 1, 5, 6]
        share = (width * height - crop) / (1 - crop)
        assert -1e-3 < share.min() < 0.05
        assert 0.95 < share.max() < 1.001
        assert max(width.max(), height.max()) < 1 + 1e-5
        assert 1 + (1 - crop) / 4 < (width / height).max() < 4 / 3 + 1e-4

    def test_light_keeps_geometry(self, batch):
        found = self.draw(batch, gamma=0.7)
        low, high = batch.amin((1, 2, 3)), batch.amax((1, 2, 3))
        assert_allclose(found.amin((1, 2, 3)), low, atol=1e-4)
        assert_allclose(found.amax((1, 2, 3)), high, atol=5e-3)
        order = batch.flatten(1).argsort(dim=1)
        assert (found.flatten(1).gather(1, order).diff(dim=1) > -1e-5).all()

    def test_contrast_is_linear(self, batch):
        found = self.draw(batch, contrast=0.3)
        ratio = found.std((1, 2, 3)) / batch.std((1, 2, 3))
        assert 0.7 <= ratio.min() < 0.85
        assert 1.15 < ratio.max() <= 1.3

    def test_blur_mixes_an_image_with_means_of_its_neighbourhoods(self, batch):
        padded = np.pad(
            batch.numpy(), [(0, 0)] * 2 + [(1, 1)] * 2, constant_values=np.nan
        )
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
        change = np.nanmean(windows, axis=(-2, -1)) - batch.numpy()
        share = (self.draw(batch, blur=0.8).numpy() - batch.numpy()) / change
        assert_allclose(np.ptp(share, axis=(1, 2, 3)), 0, atol=1e-2)
        assert 0 <= share.min() < 0.1
        assert 0.7 < share.max() < 0.81

    def test_noise_differs_between_images(self, batch):
        noise = (self.draw(batch, noise=0.3) - batch).std((1, 2, 3))
        assert noise.min() < 0.1
        assert 0.2 < noise.max() < 0.4

    def test_same_generator_same_views(self, batch):
        for preset in AUGMENTATIONS.values():
            views = [preset(batch, torch.Generator().manual_seed(3)) for _ in "ab"]
            assert_array_equal(*views)

    @pytest.mark.parametrize(
        "params",
        [
            {"crop": 0.0},
            {"crop": 1.5},
            {"blur": 1.1},
            {"noise": -1.0},
            {"gamma": np.inf},
        ],
    )
    def test_bad_settings(self, params):
        with pytest.raises(ValueError, match=f"{next(iter(params))}="):
            ImageAugmentation(**params)


def test_network_is_small_for_large_images():
    network = Convolutions((224, 160, 3), (16,), 4, torch.Generator().manual_seed(0))
    assert sum(p.numel() for p in network.parameters()) < 200_000
    assert network.eval()(torch.zeros(1, 224 * 160 * 3)).shape == (1, 16)


def test_training_in_half_precision_keeps_single_outside(images):
    network = Convolutions((8, 8, 1), (16,), 4, torch.Generator().manual_seed(0))
    rows = torch.from_numpy(flatten_images(images)[0])
    in_training = network.train()(rows)
    assert in_training.dtype == torch.float32
    assert network.double().eval()(rows.double()).dtype == torch.float64
