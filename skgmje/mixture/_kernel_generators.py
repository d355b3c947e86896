"""Options of the network that makes the centers of a KernelMixtureDensity."""

from __future__ import annotations

from typing import Any, Literal

from skgmje._options import Options, as_options
from skgmje._sklearn import StrOptions
from skgmje.gaussian._checks import check_layers
from skgmje.mixture._base import COUNT

# Fresh centers per step: the kernel costs see a density, not single centers.
MAX_DRAWN = 64

# Of a map that starts as cells: the most cells, and samples of one.
_MAX_CELLS = 128
_SAMPLES_PER_CELL = 8


class CenterOptions(Options):
    """What the options of both kinds of networks have in common."""

    _parameter_constraints: dict = {
        "code_dim": [COUNT],
        "hidden_layer_sizes": ["array-like"],
    }

    #: Whether the centers are draws from a map of noise.
    _draws_noise = False

    #: Whether the network was not written here.
    _is_foreign = False

    #: Whether a map from noise starts as the cells of the data.
    _starts_as_cells = False

    #: What 'auto' means as cost.
    _auto_cost = "svd"

    def check(self) -> None:
        """Raise if a parameter has a value that it must not have."""
        # Late: a fitted estimator needs no torch.
        super().check()
        check_layers(self.hidden_layer_sizes, (128, 128))

    def _count(self, n_components, n_samples):
        """Return the number of centers per step."""
        return n_components

    def _n_cells(self, n_centers, n_samples):
        """Return the number of cells that say where to start, and how wide."""
        return n_centers

    def _width(self, n_features):
        """Return how many numbers become a center."""
        return self.code_dim

    def _shared(self, n_features, recipe, random_state, dtype):
        """Return what the modules of both kinds are made with."""
        return {
            "n_components": recipe.n_centers,
            "n_features": n_features,
            "variance": recipe.kernels.variance,
            "random_state": random_state,
            "code_dim": self._width(n_features),
            "hidden_layer_sizes": tuple(self.hidden_layer_sizes),
            "learn_variance": recipe.kernels.learn_variance,
            "dtype": dtype,
        }


class Codes(CenterOptions):
    """One learned code for each component, decoded to its center.

    An option of :class:`KernelMixtureDensity`: ``generator="codes"`` stands for
    ``generator=Codes()``.

    Parameters
    ----------
    init : {'k-means++', 'random_from_data', 'noise'}, default='k-means++'
        Where the centers start: at k-means centers, at samples, or as noise with a
        bandwidth that falls.

    code_dim : int, default=8
        Width of a code.

    hidden_layer_sizes : tuple of int, default=(128, 128)
        Widths of the hidden layers of the network that decodes.

    Examples
    --------
    >>> from skgmje.mixture import Codes, KernelMixtureDensity
    >>> generator = Codes(init="noise", hidden_layer_sizes=(32,))
    >>> density = KernelMixtureDensity(8, generator=generator)
    >>> density.set_params(generator__code_dim=4).generator
    Codes(code_dim=4, hidden_layer_sizes=(32,), init='noise')
    """

    _parameter_constraints: dict = {
        "init": [StrOptions({"k-means++", "random_from_data", "noise"})],
        **CenterOptions._parameter_constraints,
    }

    def __init__(
        self,
        init: Literal["k-means++", "random_from_data", "noise"] = "k-means++",
        *,
        code_dim: int = 8,
        hidden_layer_sizes: tuple[int, ...] = (128, 128),
    ) -> None:
        self.init = init
        self.code_dim = code_dim
        self.hidden_layer_sizes = hidden_layer_sizes

    def _build(self, n_features, recipe, random_state, dtype):
        """Return the torch module, on the CPU."""
        import torch

        from skgmje.modules import CodeGenerator

        base = recipe.base
        return CodeGenerator(
            base=None if base is None else torch.tensor(base, dtype=dtype),
            learn_weights=recipe.kernels.learn_weights,
            **self._shared(n_features, recipe, random_state, dtype),
        )


class Noise(CenterOptions):
    """Fresh noise in every step, mapped to centers: the generator of the paper.

    An option of :class:`KernelMixtureDensity`: ``generator="noise"`` stands for
    ``generator=Noise()``, and a network, or a callable that builds one, for
    ``generator=Noise(network=...)``.

    Parameters
    ----------
    network : torch.nn.Module, callable or None, default=None
        The map from noise of shape (n, code_dim) to centers of shape
        (n, n_features), which is copied; or a callable that builds one from
        ``(code_dim, n_features)``. None is a perceptron.

    code_dim : int or None, default=None
        Width of the noise. None: one more than features. The first number then
        chooses one of up to 128 cells of k-means, the others are spread as its
        samples are, and the perceptron learns what is left: draws fill the space
        from the first step on, and most of their quality is this start's. With a
        number the perceptron learns all, as in the paper. Of another `network`
        None is 8.

    hidden_layer_sizes : tuple of int, default=(128, 128)
        Widths of the hidden layers of the perceptron; without effect on another
        `network`.

    Examples
    --------
    >>> from skgmje.mixture import KernelMixtureDensity, Noise
    >>> density = KernelMixtureDensity(8, generator=Noise(code_dim=16))
    >>> density.get_params()["generator__code_dim"]
    16
    """

    _parameter_constraints: dict = {
        "network": [callable, None],
        **CenterOptions._parameter_constraints,
        "code_dim": [COUNT, None],
    }

    _draws_noise = True
    _auto_cost = "scalar"
    init = "noise"

    def __init__(
        self,
        network: Any = None,
        *,
        code_dim: int | None = None,
        hidden_layer_sizes: tuple[int, ...] = (128, 128),
    ) -> None:
        self.network = network
        self.code_dim = code_dim
        self.hidden_layer_sizes = hidden_layer_sizes

    @property
    def _is_foreign(self):
        return self.network is not None

    @property
    def _starts_as_cells(self):
        return self.network is None and self.code_dim is None

    def _n_cells(self, n_centers, n_samples):
        if not self._starts_as_cells:
            return n_centers
        return min(_MAX_CELLS, max(1, n_samples // _SAMPLES_PER_CELL))

    def _width(self, n_features):
        if self._starts_as_cells:
            return n_features + 1
        return 8 if self.code_dim is None else self.code_dim

    def _count(self, n_components, n_samples):
        return max(n_components, min(MAX_DRAWN, n_samples // 4))

    def _build(self, n_features, recipe, random_state, dtype):
        """Return the torch module, on the CPU."""
        import torch

        from skgmje.modules import NoiseGenerator
        from skgmje.modules._generators import NoiseMap, own_generator

        network, width = None, self._width(n_features)
        if self._is_foreign:
            network = own_generator(self.network, width, n_features, dtype)
        elif self._starts_as_cells:
            start = [torch.as_tensor(part).to(dtype) for part in recipe.start]
            network = NoiseMap(*start, self.hidden_layer_sizes, random_state)
        shared = self._shared(n_features, recipe, random_state, dtype)
        return NoiseGenerator(network=network, **shared)


GENERATORS = {"codes": Codes, "noise": Noise}


def read_generator(value):
    """Return checked options of what makes the centers."""
    if isinstance(value, str | Options):
        return as_options(value, GENERATORS)
    return Noise(network=value)
