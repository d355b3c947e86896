"""What an embedder is made of: its encoders, and the loss that trains them."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Literal

from skgmje._options import Options
from skgmje._sklearn import Interval, StrOptions
from skgmje.embedding._losses import Objective
from skgmje.embedding._normality import N_KNOTS, N_SLICES
from skgmje.embedding._views import ImageAugmentation
from skgmje.gaussian._checks import check_layers


class EncoderOptions(Options):
    """What an encoder is, and what it is held to."""

    _parameter_constraints: dict = {
        "norm": [StrOptions({"sphere", "batch"}), None],
        "target": [StrOptions({"shared", "ema"})],
        "image_shape": ["array-like", None],
    }
    #: Whether it is code of the user's.
    _is_own = False


class HiddenLayers(EncoderOptions):
    """Of an encoder that is built here: its hidden layers."""

    _parameter_constraints: dict = {
        **EncoderOptions._parameter_constraints,
        "hidden_layer_sizes": ["array-like", StrOptions({"auto"})],
    }

    def __init__(
        self,
        hidden_layer_sizes: tuple[int, ...] | Literal["auto"] = "auto",
        *,
        norm: Literal["sphere", "batch"] | None = None,
        target: Literal["shared", "ema"] = "shared",
        image_shape: tuple[int, ...] | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.norm = norm
        self.target = target
        self.image_shape = image_shape

    @property
    def _sizes(self):
        """The sizes of the layers."""
        sizes = self.hidden_layer_sizes
        return self._auto_sizes if isinstance(sizes, str) else sizes

    def check(self) -> None:
        """Raise if a parameter has a value that it must not have."""
        super().check()
        check_layers(self._sizes, self._auto_sizes, may_be_empty=False)


class MLP(HiddenLayers):
    """A perceptron with batch normalisation, as the `encoder` of an embedder.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int or 'auto', default='auto'
        Hidden layers; 'auto' is (256, 128).

    norm, target, image_shape : default=None, 'shared' and None
        As those of :class:`Encoder`.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.embedding import MLP, GJEEmbedder
    >>> X = np.random.default_rng(0).normal(size=(100, 3))
    >>> embedder = GJEEmbedder(2, encoder=MLP((16,)), max_iter=5, random_state=0)
    >>> embedder.set_params(output="hidden").fit_transform(X).shape
    (100, 16)
    """

    _auto_sizes = (256, 128)


class ConvNet(HiddenLayers):
    """Four strided convolutions and dense layers, as the `encoder` of an embedder.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int or 'auto', default='auto'
        Dense layers after the convolutions; 'auto' is (512,).

    norm, target, image_shape : default=None, 'shared' and None
        As those of :class:`Encoder`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skgmje.embedding import ConvNet, GJEEmbedder
    >>> X, _ = load_digits(return_X_y=True)
    >>> encoder = ConvNet((32,), image_shape=(8, 8))
    >>> embedder = GJEEmbedder(4, encoder=encoder, max_iter=2, random_state=0)
    >>> embedder.fit(X[:100]).image_shape_
    (8, 8, 1)
    """

    _auto_sizes = (512,)


class Encoder(EncoderOptions):
    """A network of your own, or the usual one, as the `encoder` of an embedder.

    Parameters
    ----------
    network : 'auto', torch.nn.Module or callable, default='auto'
        Maps samples of shape (n, n_features), or images of shape (n, channels,
        height, width), to embeddings. A module is copied; a callable builds one from
        ``(n_features, embedding_dim)``. Without parameters to learn it is used as it
        is. 'auto' is :class:`ConvNet` for images, :class:`MLP` else.

    norm : {'sphere', 'batch'} or None, default=None
        Constraint on the embeddings: all of one length, or standardized.

    target : {'shared', 'ema'}, default='shared'
        Whether the second view has the same encoder, or one that follows it as
        a moving average, without a gradient.

    image_shape : tuple of int or None, default=None
        Height, width and maybe channels, last, if the samples are images as rows.
        Images of shape (n, height, width[, channels]) need none.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> from skgmje.embedding import Encoder, GJEEmbedder
    >>> X = np.random.default_rng(0).normal(size=(100, 3))
    >>> encoder = Encoder(nn.Linear(3, 2), norm="sphere")
    >>> embedder = GJEEmbedder(2, encoder=encoder, max_iter=0, random_state=0)
    >>> lengths = (embedder.fit_transform(X) ** 2).sum(axis=1)
    >>> bool(np.allclose(lengths, 2))
    True
    """

    _parameter_constraints: dict = {
        **EncoderOptions._parameter_constraints,
        "network": [StrOptions({"auto"}), callable],
    }

    def __init__(
        self,
        network: Any = "auto",
        *,
        norm: Literal["sphere", "batch"] | None = None,
        target: Literal["shared", "ema"] = "shared",
        image_shape: tuple[int, ...] | None = None,
    ) -> None:
        self.network = network
        self.norm = norm
        self.target = target
        self.image_shape = image_shape

    @property
    def _is_own(self):
        return not isinstance(self.network, str)


ENCODERS = {"auto": Encoder, "mlp": MLP, "convnet": ConvNet}


def encoders_of(estimator):
    """Return the encoders of both views, an object each."""
    own = estimator.encoder
    pair = own if isinstance(own, tuple) else (own, own)
    return tuple(map(_as_encoder, pair))


def _as_encoder(own):
    """Return the object that a word or a network stands for."""
    if isinstance(own, EncoderOptions):
        # Not a copy, which would be one of its network too.
        return own
    if isinstance(own, str) and own in ENCODERS:
        return ENCODERS[own]()
    if callable(own):
        return Encoder(own)
    raise ValueError(
        f"encoder has {own!r}, which is none. Use one of {list(ENCODERS)}, a network, "
        "a function that builds one, or an object such as MLP((64, 32))."
    )


def has_foreign_parts(estimator):
    """Return whether code of the user's takes part in the training."""
    if any(encoder._is_own for encoder in encoders_of(estimator)):
        return True
    return not isinstance(estimator.augmentation, str | ImageAugmentation | None)


def check_encoders(estimator):
    """Raise if the encoders have wrong settings, or do not suit the views."""
    is_pair = estimator.views == "pair"
    own = estimator.encoder
    if isinstance(own, tuple) and not (is_pair and len(own) == 2):
        raise ValueError(
            f"encoder={own!r} must be one encoder, or with views='pair' two, of X and "
            f"of y; views={estimator.views!r}."
        )
    for encoder in encoders_of(estimator):
        encoder.check()
        if is_pair and encoder.target == "ema":
            raise ValueError(
                "target='ema' follows the encoder of X, but with views='pair' y has "
                "one of its own. Use target='shared', which then changes nothing."
            )


class LossOptions(Options):
    """A loss and its settings."""

    #: Number of components of the mixture that it learns, if it does.
    n_components = "auto"
    #: Momentum of averaged covariances.
    moment_decay = 0.0

    @property
    def _needs_full_rank(self):
        """Whether a batch needs covariances of full rank, for log-determinants."""
        return getattr(self._objective().function, "needs_full_rank", False)


class PlainLoss(LossOptions):
    """A loss without settings: a word, or a function of the user's."""

    _parameter_constraints: dict = {}

    def __init__(self, function):
        self.function = function

    def _objective(self):
        """Return it as a function of what the module of both views puts out."""
        return Objective(self.function)


_COUNT = Interval(Integral, 1, None, closed="left")
_WEIGHT = [Interval(Real, 0, None, closed="left")]
_DECAY = [Interval(Real, 0, 1, closed="left")]


class GJELoss(LossOptions):
    r"""The loss of a fixed joint Gaussian, as the `loss` of an embedder.

    Parameters
    ----------
    rho, logdet_weight : float, default=0.9 and 1.0
        As those of :func:`gje_loss`. The lower `rho`, the more are directions shrunk in
        which views differ.

    moment_decay : float, default=0.0
        Momentum of the running covariances of both views, below one; about 0.5 allows
        batches with fewer samples than twice `embedding_dim`. Averages over many
        batches lag behind the encoder, which then shrinks directions.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.embedding import GJEEmbedder, GJELoss
    >>> X = np.random.default_rng(0).normal(size=(100, 3))
    >>> embedder = GJEEmbedder(2, loss=GJELoss(rho=0.5), max_iter=5, random_state=0)
    >>> embedder.fit_transform(X).shape
    (100, 2)
    """

    _parameter_constraints: dict = {
        "rho": [Interval(Real, 0, 1, closed="left")],
        "logdet_weight": _WEIGHT,
        "moment_decay": _DECAY,
    }

    def __init__(
        self, rho: float = 0.9, *, logdet_weight: float = 1.0, moment_decay: float = 0.0
    ) -> None:
        self.rho = rho
        self.logdet_weight = logdet_weight
        self.moment_decay = moment_decay

    def _objective(self):
        """Return it as a function of what the module of both views puts out."""
        return Objective("gje", rho=self.rho, logdet_weight=self.logdet_weight)


class JointLoss(LossOptions):
    r"""The likelihood of a learned mixture, as the `loss` of an embedder.

    It is that of :func:`joint_loss`. What the mixture learns is for the encoder alone.

    Parameters
    ----------
    n_components : int or 'auto', default='auto'
        Number of components; 'auto' is that of the embedder's `mixture` if it is a
        number, else 20; of :class:`GJEEmbedder` one.

    logdet_weight, moment_decay : float, default=1.0 and 0.0
        As those of :class:`GJELoss`.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.embedding import GMJEEmbedder, JointLoss
    >>> X = np.random.default_rng(0).normal(size=(100, 3))
    >>> embedder = GMJEEmbedder(2, loss=JointLoss(5), max_iter=5, random_state=0)
    >>> embedder.fit_transform(X).shape
    (100, 2)
    """

    _parameter_constraints: dict = {
        "n_components": [_COUNT, StrOptions({"auto"})],
        "logdet_weight": _WEIGHT,
        "moment_decay": _DECAY,
    }

    def __init__(
        self,
        n_components: int | Literal["auto"] = "auto",
        *,
        logdet_weight: float = 1.0,
        moment_decay: float = 0.0,
    ) -> None:
        self.n_components = n_components
        self.logdet_weight = logdet_weight
        self.moment_decay = moment_decay

    def _objective(self):
        """Return it as a function of what the module of both views puts out."""
        return Objective("joint", logdet_weight=self.logdet_weight)


class SIGRegLoss(LossOptions):
    r"""The loss of isotropic Gaussian embeddings, as the `loss` of an embedder.

    It is that of :func:`sigreg_loss`, or with `gje` of :func:`gje_sigreg_loss`. Every
    step draws directions of its own.

    Parameters
    ----------
    weight : float or 'auto', default='auto'
        Weight of the distance from a Gaussian; 'auto' is 0.05, with `gje` 1.

    gje : GJELoss or None, default=None
        The loss that the distance is added to; None is the mean squared difference of
        both views, weighted by one minus the weight.

    n_slices, n_knots, pooled : default=256, 17 and False
        As those of :func:`sigreg_loss`.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmje.embedding import GJEEmbedder, GJELoss, SIGRegLoss
    >>> X = np.random.default_rng(0).normal(size=(100, 3))
    >>> loss = SIGRegLoss(gje=GJELoss(rho=0.8))    # with defaults "gje+sigreg"
    >>> GJEEmbedder(2, loss=loss, max_iter=5, random_state=0).fit_transform(X).shape
    (100, 2)
    """

    _parameter_constraints: dict = {
        "weight": [*_WEIGHT, StrOptions({"auto"})],
        "gje": [GJELoss, None],
        "n_slices": [_COUNT],
        "n_knots": [Interval(Integral, 2, None, closed="left"), None],
        "pooled": ["boolean"],
    }

    def __init__(
        self,
        weight: float | Literal["auto"] = "auto",
        *,
        gje: GJELoss | None = None,
        n_slices: int = N_SLICES,
        n_knots: int | None = N_KNOTS,
        pooled: bool = False,
    ) -> None:
        self.weight = weight
        self.gje = gje
        self.n_slices = n_slices
        self.n_knots = n_knots
        self.pooled = pooled

    @property
    def moment_decay(self) -> float:
        """Momentum of averaged covariances."""
        return 0.0 if self.gje is None else self.gje.moment_decay

    def check(self) -> None:
        """Raise if a parameter has a value that it must not have."""
        super().check()
        if self.gje is not None:
            self.gje.check()
        elif self.weight != "auto" and self.weight > 1:
            raise ValueError(
                f"weight={self.weight!r} must be at most 1 without gje: the "
                "difference of both views has the rest. Decrease it, or set "
                "gje=GJELoss()."
            )

    def _objective(self):
        """Return it as a function of what the module of both views puts out."""
        params = {n: getattr(self, n) for n in ("n_slices", "n_knots", "pooled")}
        if self.weight != "auto":
            params["weight"] = self.weight
        if self.gje is None:
            return Objective("sigreg", **params)
        return Objective("gje+sigreg", **self.gje._objective().params, **params)


LOSSES_WITH_SETTINGS = {
    "gje": GJELoss,
    "joint": JointLoss,
    "sigreg": SIGRegLoss,
    "gje+sigreg": lambda: SIGRegLoss(gje=GJELoss()),
}


def loss_of(estimator):
    """Return the loss of an embedder, an object."""
    own = estimator.loss
    if isinstance(own, LossOptions):
        return own
    if isinstance(own, str) and own in LOSSES_WITH_SETTINGS:
        return LOSSES_WITH_SETTINGS[own]()
    return PlainLoss(own)


#: What `transform` may return, beside principal components of the sample itself.
OUTPUTS = ("embedding", "hidden", "multi")
INPUT = "input"


def layers_of(output):
    """Return the names of what is put side by side; raise if there are none such."""
    names = [output] if isinstance(output, str) else list(output)
    known = {*names} <= {*OUTPUTS, INPUT} and len({*names}) == len(names)
    if not (known and {*names} & {*OUTPUTS}):
        raise ValueError(
            f"output={output!r} must be one of {list(OUTPUTS)}, or a list of some of "
            f"them, with {INPUT!r} for principal components of the samples beside them."
        )
    return names


def check_options(estimator):
    """Raise if what an embedder is made of has settings that it must not have."""
    check_encoders(estimator)
    loss_of(estimator).check()
    layers_of(estimator.output)
