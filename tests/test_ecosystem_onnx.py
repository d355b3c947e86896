"""An exported encoder answers as the embedder does."""

import sys
from itertools import product

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from skgmje import GaussianMixture
from skgmje.embedding import MLP, ConvNet, GJEEmbedder, GMJEEmbedder, export_onnx

pytest.importorskip("onnxscript")
runtime = pytest.importorskip("onnxruntime")

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skgmje.embedding.CollapseWarning"),
]

SMALL = {"max_iter": 5, "random_state": 0}
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3)) * [1.0, 10.0, 1000.0] + 5.0
Y = X[:, :2] @ rng.normal(size=(2, 4)) + rng.normal(size=(60, 4))


def run(model, rows):
    session = runtime.InferenceSession(model.SerializeToString())
    return session.run(None, {"X": rows})[0]


SETTINGS = {
    "plain": GJEEmbedder(2, encoder=MLP((8,)), **SMALL),
    "sphere": GMJEEmbedder(
        2, encoder=MLP((8,), norm="sphere"), mixture=GaussianMixture(2), **SMALL
    ),
    "hidden": GJEEmbedder(2, encoder=MLP((8,), norm="batch"), output="hidden", **SMALL),
    "own": GJEEmbedder(2, encoder=torch.nn.Linear(3, 2), standardize=False, **SMALL),
}


# Each type of numbers once; the other pairs are slow tests.
QUICK = [("sphere", np.float64), ("own", np.float32)]
PAIRS = [
    pytest.param(*pair, marks=[] if pair in QUICK else [pytest.mark.slow])
    for pair in product(SETTINGS, [np.float64, np.float32])
]


@pytest.mark.parametrize(("setting", "dtype"), PAIRS)
def test_context_model_transforms(setting, dtype):
    rows = X.astype(dtype)
    embedder = SETTINGS[setting].fit(rows)
    model = export_onnx(embedder)
    # One row, and one far away.
    for part in (rows, rows[:1], rows[:2] * 1e4):
        Z = run(model, part)
        assert Z.dtype == dtype
        np.testing.assert_allclose(Z, embedder.transform(part), 1e-5, 1e-5)


@pytest.mark.parametrize(
    "layer",
    # "multi" joins the other two.
    [
        *(pytest.param(s, marks=pytest.mark.slow) for s in ("embedding", "hidden")),
        "multi",
    ],
)
def test_model_of_images_takes_any_number_of_rows(layer):
    images = np.random.default_rng(0).uniform(size=(30, 8, 6, 3)).astype(np.float32)
    embedder = GJEEmbedder(2, encoder=ConvNet((8,)), output=[layer, "input"], **SMALL)
    model = export_onnx(embedder.fit(images))
    for part in (images, images[:1]):
        Z = run(model, part.reshape(len(part), -1))
        np.testing.assert_allclose(Z, embedder.transform(part), 1e-5, 1e-5)


def test_target_model_transforms_the_other_view(tmp_path):
    embedder = GJEEmbedder(2, encoder=MLP((8,)), views="pair", **SMALL).fit(X, Y)
    path = tmp_path / "target.onnx"
    export_onnx(embedder, path, view="target")
    Z = runtime.InferenceSession(path).run(None, {"X": Y})[0]
    np.testing.assert_allclose(Z, embedder.transform_target(Y), 1e-5, 1e-5)
    context = run(export_onnx(embedder), X)
    np.testing.assert_allclose(context, embedder.transform(X), 1e-5, 1e-5)


def test_what_cannot_be_exported_is_named(monkeypatch):
    with pytest.raises(TypeError, match="no embedder"):
        export_onnx(GaussianMixture())
    with pytest.raises(ValueError, match="view='left' must be one of"):
        export_onnx(GJEEmbedder(), view="left")
    with pytest.raises(NotFittedError):
        export_onnx(GJEEmbedder())
    embedder = GJEEmbedder(2, **SMALL).fit(X)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"skgmje\[onnx\]"):
        export_onnx(embedder)
