"""Words and objects that say what embedders and decoders are made of."""

import inspect
import re

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn

from skgmje import GaussianMixture, GJEEmbedder, GMJEEmbedder, KernelDecoder
from skgmje.embedding import (
    MLP,
    ConvNet,
    Encoder,
    GJELoss,
    IsotropicKernel,
    JointLoss,
    PatchKernel,
    SIGRegLoss,
)

IMAGES = np.random.default_rng(0).normal(size=(60, 4, 4)).astype(np.float32)
ROWS = IMAGES.reshape(60, 16)
QUICK = {"max_iter": 3, "random_state": 0}
SMALL = {**QUICK, "hidden_layer_sizes": (4,)}
PARTS = [MLP, ConvNet, Encoder, GJELoss, JointLoss, SIGRegLoss]
PARTS += [IsotropicKernel, PatchKernel]
# An estimator, and a word with the object that it stands for.
WORDS = {
    "mlp": (GJEEmbedder(2, **QUICK), "encoder", MLP(), ROWS),
    "convnet": (GJEEmbedder(2, **QUICK), "encoder", ConvNet(), IMAGES),
    "auto": (GMJEEmbedder(2, **QUICK), "encoder", Encoder(), IMAGES),
    "gje": (GJEEmbedder(2, **QUICK), "loss", GJELoss(), ROWS),
    "joint": (GMJEEmbedder(2, **QUICK), "loss", JointLoss(), ROWS),
    "sigreg": (GJEEmbedder(2, **QUICK), "loss", SIGRegLoss(), ROWS),
    "gje+sigreg": (GJEEmbedder(2, **QUICK), "loss", SIGRegLoss(gje=GJELoss()), ROWS),
    "isotropic": (KernelDecoder(2, **SMALL), "kernel", IsotropicKernel(), ROWS),
    "patches": (KernelDecoder(2, **SMALL), "kernel", PatchKernel(), IMAGES),
}
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skgmje.embedding.CollapseWarning"),
]


@pytest.mark.parametrize("estimator", [GJEEmbedder, GMJEEmbedder, KernelDecoder])
def test_a_constructor_can_be_read(estimator):
    assert len(inspect.signature(estimator).parameters) <= 16


@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_an_object_with_its_defaults(word):
    estimator, name, part, rows = WORDS[word]
    said = clone(estimator).set_params(**{name: word}).fit(rows)
    given = clone(estimator).set_params(**{name: part}).fit(rows)
    assert_array_equal(said.transform(rows), given.transform(rows))
    assert_array_equal(said.sample(5)[0], given.sample(5)[0])
    # It is read, and nothing is fitted.
    assert vars(part).keys() == part.get_params(deep=False).keys()
    assert repr(part) == repr(clone(part))
    assert getattr(given, name) is part


@pytest.mark.parametrize("word", WORDS)
def test_settings_of_a_word_cannot_be_set(word):
    estimator, name, part, _ = WORDS[word]
    inner = next(iter(part.get_params()))
    nested = {f"{name}__{inner}": 3}
    with pytest.raises(ValueError, match=re.escape(f"{name}='{word}' has no")):
        clone(estimator).set_params(**{name: word}, **nested)
    changed = clone(estimator).set_params(**{name: clone(part)}).set_params(**nested)
    assert changed.get_params()[f"{name}__{inner}"] == 3


@pytest.mark.parametrize("cls", PARTS)
def test_objects_are_parameters(cls):
    part = cls()
    params = part.get_params()
    signature = inspect.signature(cls).parameters
    assert params == {name: p.default for name, p in signature.items()}
    assert repr(part) == f"{cls.__name__}()"
    assert type(clone(part)) is cls
    name, value = next(iter(params.items()))
    assert f"{name}='other'" in repr(part.set_params(**{name: "other"}))
    assert value != "other"
    with pytest.raises(ValueError, match=f"'{name}' parameter of {cls.__name__}"):
        part.set_params(**{name: -1}).check()


@pytest.mark.parametrize(
    ("estimator", "grid"),
    [
        (
            GMJEEmbedder(2, mixture=GaussianMixture(2, shrinkage=1.0), **QUICK),
            [
                {"encoder": ["auto", "mlp", Encoder(norm="batch"), nn.Linear(16, 2)]},
                {"encoder": [MLP()], "encoder__hidden_layer_sizes": [(4,), (3,)]},
                {"loss": ["pmi", GJELoss(0.5)], "output": ["hidden", ["multi"]]},
                {
                    "mixture": [GaussianMixture(shrinkage=1.0)],
                    "mixture__n_components": [1, 2],
                },
                {"trainer": [None, {"optimizer__eps": 1e-6}]},
            ],
        ),
        (
            KernelDecoder(2, **SMALL),
            [
                {"kernel": ["isotropic", PatchKernel(2, image_shape=(4, 4))]},
                {"kernel": [IsotropicKernel()], "kernel__kappa": [0.1, 0.5]},
            ],
        ),
    ],
    ids=["embedder", "decoder"],
)
@pytest.mark.slow
def test_grids_take_words_and_objects(estimator, grid):
    search = GridSearchCV(estimator, grid, cv=2, error_score="raise").fit(ROWS)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert clone(search).fit(ROWS).best_score_ == search.best_score_


def test_one_encoder_is_that_of_both_views():
    """Each view has a network of its own."""
    Y = np.random.default_rng(1).normal(size=(60, 5))
    fitted = GJEEmbedder(2, views="pair", encoder=MLP((4, 3)), **QUICK).fit(ROWS, Y)
    widths = [
        [layer.out_features for layer in network.body if isinstance(layer, nn.Linear)]
        for network in (fitted.encoder_, fitted.target_encoder_)
    ]
    assert widths == [[4, 3], [4, 3]]
    other = clone(fitted).set_params(encoder=(MLP((4, 3)), MLP((2,)))).fit(ROWS, Y)
    assert other.transform_target(Y, output="hidden").shape == (60, 2)
    assert fitted.transform_target(Y, output="hidden").shape == (60, 3)


def test_a_joint_loss_learns_as_many_components_as_the_mixture_has():
    two = GaussianMixture(2)
    embedder = GMJEEmbedder(2, loss="joint", mixture=two, **QUICK)
    curves = [
        clone(embedder).set_params(loss=loss).fit(ROWS).loss_curve_
        for loss in ("joint", JointLoss(2), JointLoss(3))
    ]
    assert_array_equal(curves[0], curves[1])
    assert curves[0][0] != curves[2][0]
