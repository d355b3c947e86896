"""Sources that are trained: networks, and modules of the user. Torch is loaded late."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Literal

from skgmje._backend import check_torch
from skgmje._sklearn import Interval, StrOptions
from skgmje.conditional._source import Source
from skgmje.gaussian._checks import check_layers

_AT_LEAST_ONE = Interval(Integral, 1, None, closed="left")
_POSITIVE = Interval(Real, 0, None, closed="neither")
_STEPS = {
    "max_iter": [_AT_LEAST_ONE, StrOptions({"auto"})],
    "batch_size": [_AT_LEAST_ONE, StrOptions({"auto"})],
    "learning_rate": [_POSITIVE],
    "trainer": [dict, None],
}


class Trained(Source):
    """A source that torch trains, as its `trainer` says."""

    def _trainers(self):
        """Return what users ask of its trainings, checked."""
        check_torch(type(self).__name__)
        from skgmje._training._loop import check_trainer

        return [check_trainer(self.trainer)]


class MixtureNetwork(Trained):
    """Ensemble of mixture density networks, for a conditional density.

    Each network maps x to the parameters of a mixture, and is trained without one part
    of the samples, which judges it.

    Parameters
    ----------
    n_components : int or 'auto', default='auto'
        Components of each network; 'auto' is 5, of more than eight targets 1.

    hidden_layer_sizes : tuple of int, default=(64, 64, 64)
        Hidden layers of each network.

    n_members : int, default=5
        Number of networks.

    covariance_type : {'full', 'diag'}, default='full'
        Covariances of several targets in a component.

    max_iter : int or 'auto', default='auto'
        Number of gradient steps; 'auto' is 1200 to 6000, by the number of samples, and
        a third of that for more than eight targets.

    batch_size : int or 'auto', default='auto'
        Samples per gradient step; 'auto' is 128, or 256 of more than 2000 samples.

    learning_rate : float, default=0.006
        Largest step size.

    min_scale : float, default=0.005
        Smallest standard deviation of a component, in those of `y`.

    trainer : dict or None, default=None
        Further settings of the training, as those of
        :class:`~skgmje.embedding.GMJEEmbedder`; ``max_bytes`` has no effect.

    See Also
    --------
    skgmje.modules.MixtureDensityNetwork : The network as a torch module.

    References
    ----------
    .. [1] C. M. Bishop, "Mixture Density Networks", 1994.

    Examples
    --------
    >>> from skgmje.conditional import ConditionalMixtureDensity, MixtureNetwork
    >>> from skgmje.datasets import make_alignment
    >>> X, y = make_alignment("cross", 300, random_state=0)
    >>> network = MixtureNetwork(2, n_members=3, max_iter=50)
    >>> density = ConditionalMixtureDensity(network, random_state=0).fit(X, y)
    >>> density.predict_mixture(X[:1]).n_components
    6
    """

    name = "network"
    _parameter_constraints: dict = {
        "n_components": [_AT_LEAST_ONE, StrOptions({"auto"})],
        "hidden_layer_sizes": ["array-like"],
        "n_members": [_AT_LEAST_ONE],
        "covariance_type": [StrOptions({"full", "diag"})],
        **_STEPS,
        "min_scale": [_POSITIVE],
    }

    def __init__(
        self,
        n_components: int | Literal["auto"] = "auto",
        *,
        hidden_layer_sizes: tuple[int, ...] = (64, 64, 64),
        n_members: int = 5,
        covariance_type: Literal["full", "diag"] = "full",
        max_iter: int | Literal["auto"] = "auto",
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: float = 6e-3,
        min_scale: float = 5e-3,
        trainer: dict[str, Any] | None = None,
    ) -> None:
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.n_members = n_members
        self.covariance_type = covariance_type
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.min_scale = min_scale
        self.trainer = trainer

    def check(self) -> None:
        """Raise if a parameter has a value that it must not have."""
        super().check()
        check_layers(self.hidden_layer_sizes)

    def _fit(self, X, Y, settings, sample_weight=None, random_state=None):
        from skgmje.conditional._torch_sources import fit_network

        return fit_network(X, Y, self, settings, sample_weight, random_state)


class TrainedModule(Trained):
    """Torch module that makes mixtures, trained by the likelihood of a density.

    A module alone as a `source` is one with these defaults.

    Parameters
    ----------
    module : MixtureModule
        Makes mixtures of the targets given contexts, or joint mixtures of contexts
        and targets, both standardized. A copy is trained.

    max_iter : int, default=1000
        Number of gradient steps.

    batch_size : int, default=256
        Samples per step.

    learning_rate : float, default=0.006
        Largest step size.

    trainer : dict or None, default=None
        ``callbacks``, a list of skorch callbacks, and parameters of
        :class:`skorch.NeuralNet`, such as ``optimizer``; a module keeps no checkpoints.

    See Also
    --------
    skgmje.modules.MixtureModule : Base class of such modules.

    Examples
    --------
    >>> import torch
    >>> from skgmje.conditional import ConditionalMixtureDensity, TrainedModule
    >>> from skgmje.datasets import make_alignment
    >>> from skgmje.modules import Prototypes
    >>> X, y = make_alignment("cross", 300, random_state=0)
    >>> joint = Prototypes(4, 2, torch.Generator().manual_seed(0))
    >>> density = ConditionalMixtureDensity(TrainedModule(joint, max_iter=50))
    >>> density.fit(X, y).predict_mixture(X[:1]).n_components
    4
    """

    name = "module"
    is_judged = False
    _parameter_constraints: dict = {
        "module": "no_validation",
        **_STEPS | {"max_iter": [_AT_LEAST_ONE], "batch_size": [_AT_LEAST_ONE]},
    }

    def __init__(
        self,
        module: Any,
        *,
        max_iter: int = 1000,
        batch_size: int = 256,
        learning_rate: float = 6e-3,
        trainer: dict[str, Any] | None = None,
    ) -> None:
        self.module = module
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.trainer = trainer

    def check(self) -> None:
        """Raise if a parameter has a value that it must not have."""
        from skgmje.modules import MixtureModule

        if not isinstance(self.module, MixtureModule):
            raise ValueError(
                f"{self.module!r} is no source of components: neither a word nor an "
                "object of skgmje.conditional, nor a skgmje.modules.MixtureModule. "
                "Subclass that, and implement forward."
            )
        if not any(p.requires_grad for p in self.module.parameters()):
            raise ValueError(
                f"{self.module!r} has no parameters to learn. Give it some, or use a "
                "word or an object of skgmje.conditional."
            )
        super().check()

    def _trainers(self):
        """Return what users ask of its trainings, checked."""
        [trainer] = super()._trainers()
        folder = trainer.checkpoint_dir
        if folder is not None:
            raise ValueError(
                f"trainer['checkpoint_dir']={folder!r}: a module keeps no checkpoints. "
                "Leave it out."
            )
        return [trainer]

    def _fit(self, X, Y, settings, sample_weight=None, random_state=None):
        from skgmje.conditional._torch_sources import fit_module

        return fit_module(X, Y, self, settings, sample_weight, random_state)
