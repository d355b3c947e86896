"""Files of fitted models."""

from __future__ import annotations

import os
import platform
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from skgmje._persistence._codec import Decoder, Encoder, NotStorable
from skgmje._persistence._container import pack, unpack, write_file
from skgmje._persistence._registry import class_of, name_of
from skgmje._settings import own_settings

_LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch")


def save(value, path):
    """Write a fitted estimator or a mixture to a file, all of it or nothing."""
    encoder = Encoder()
    name = name_of(type(value))
    try:
        if name is None:
            raise NotStorable(f"{type(value).__qualname__} is not in the registry")
        node = encoder.encode(value)
    except NotStorable as error:
        raise TypeError(
            f"{value!r} cannot be saved, because files hold numbers and words, and "
            f"estimators of known classes: {error}. Use skops.io.dump, which asks "
            "whom to trust, or pickle, for files that only you read."
        ) from error
    names = list(getattr(value, "feature_names_in_", ()))
    labels = {"class": name, "feature_names": names, "versions": _versions()}
    document = {"model": node, "custom": encoder.custom}
    write_file(path, pack(document, encoder.arrays, **labels))


def _versions():
    """Return the versions of what a model was fitted with."""
    from skgmje import __version__

    found = {"skgmje": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):  # of a density without torch
            found[name] = version(name)
    return found


def load(path: str | os.PathLike[str], *, custom: dict[str, Any] | None = None) -> Any:
    """Load an estimator, or a mixture, that ``save`` has written.

    A file holds numbers, words and names of known classes: no code is read from
    it and none is run, whoever made it. It is checked as a whole, by a checksum
    against accident, and by shapes, data types, finite numbers and positive
    definite covariances against malice.

    Parameters
    ----------
    path : str or path-like
        The file.

    custom : dict or None, default=None
        Parameters of yours that are code (functions, torch modules, callbacks),
        by their names, as the error says when they are missing. A network of
        yours is built by them and gets its trained weights from the file; what
        is only needed to fit again may be None.

    Returns
    -------
    estimator : estimator or Mixture
        Its predictions are those of the one that was saved, to the bit on the same
        machine and versions.

    Raises
    ------
    ValueError
        If the file is damaged, not of skgmje, of a later format, or has values
        that no model has; or if `custom` does not have the names that it needs.

    ImportError
        If safetensors is not installed (the extra ``io``).

    See Also
    --------
    skgmje.mixture.GaussianMixture.save : The way into a file; all estimators have it.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import skgmje
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> density = skgmje.GaussianMixture().fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "density.safetensors")
    ...     density.save(path)
    ...     loaded = skgmje.load(path)
    >>> bool((loaded.score_samples(X) == density.score_samples(X)).all())
    True
    """
    with open(path, "rb") as file:
        data = file.read()
    with _blamed_on(path):
        document, arrays = unpack(data)
        node, wanted = document["model"], document["custom"]
        if not isinstance(node, dict):
            raise ValueError("it holds no object")
        class_of(node.get("object"))
    custom = dict(custom or {})
    if set(custom) != set(wanted):
        raise ValueError(
            f"{os.fspath(path)} needs custom={{...}} with the names {sorted(wanted)}, "
            f"which are code and so not in it; got {sorted(custom)}. A part that is "
            "only needed to fit again may be None."
        )
    with _blamed_on(path), own_settings():
        return Decoder(arrays, custom).decode(node)


@contextmanager
def _blamed_on(path):
    """Say of any error that the content of a file raises that it is the file's."""
    try:
        yield
    except ImportError:
        raise
    except Exception as error:
        raise ValueError(
            f"{os.fspath(path)} cannot be loaded: {error or type(error).__name__}. "
            "If it was damaged, get it anew from where it was saved."
        ) from error
