"""Lists of what is public, for tests and documentation."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any

from sklearn.base import BaseEstimator

import skgmje


def public_packages():
    """Return the dotted names of the public packages, sorted."""
    found = pkgutil.iter_modules(skgmje.__path__)
    return sorted(f"skgmje.{m.name}" for m in found if not m.name.startswith("_"))


def public_objects():
    """Return ``{dotted name: object}`` of what stands in an ``__all__``."""
    packages = [*map(importlib.import_module, public_packages())]
    objects = {f"{p.__name__}.{n}": getattr(p, n) for p in packages for n in p.__all__}
    for name, home in skgmje._HOME.items():
        if home not in public_packages():
            objects[f"skgmje.{name}"] = getattr(skgmje, name)
    return objects


def all_estimators() -> list[tuple[str, type]]:
    """List every public estimator.

    An estimator is a concrete class with a method ``fit`` that extends scikit-learn's
    ``BaseEstimator`` and is named in the ``__all__`` of a public package.

    Returns
    -------
    estimators : list of tuple
        Pairs (name, class), sorted by name.

    Examples
    --------
    >>> from skgmje.utils import all_estimators
    >>> all(hasattr(Estimator, "fit") for name, Estimator in all_estimators())
    True
    """
    classes = filter(inspect.isclass, public_objects().values())
    return sorted(
        (cls.__name__, cls)
        for cls in classes
        if issubclass(cls, BaseEstimator)
        and hasattr(cls, "fit")
        and not inspect.isabstract(cls)
    )


def all_functions() -> list[tuple[str, Callable[..., Any]]]:
    """List every public function.

    Returns
    -------
    functions : list of tuple
        Pairs (name, function), sorted by name. The name is the dotted one,
        because two packages may use the same word.

    Examples
    --------
    >>> from skgmje.utils import all_functions
    >>> dict(all_functions())["skgmje.utils.all_functions"] is all_functions
    True
    """
    return sorted(
        (name, value)
        for name, value in public_objects().items()
        if inspect.isfunction(value)
    )
