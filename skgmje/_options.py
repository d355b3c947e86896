"""Options of a part of an estimator, which are one parameter of it."""

from __future__ import annotations

import copy

from sklearn.base import BaseEstimator, clone

from skgmje._sklearn import validate_parameter_constraints


class Options(BaseEstimator):
    """Parameters of a part of an estimator: they are read, and nothing is fitted.

    Clones, files and grids (``source__n_members``) treat it as they treat an estimator
    in an estimator.
    """

    def check(self) -> None:
        """Raise if a parameter has a value that it must not have."""
        params = self.get_params(deep=False)
        name = type(self).__name__
        validate_parameter_constraints(self._parameter_constraints, params, name)


def as_options(value, words):
    """Return the options that a word stands for, or a checked copy of an object."""
    if value is None or isinstance(value, str):
        return words[value]()
    options = clone(value)
    if isinstance(options, Options):
        options.check()
    return options


def refuse_classes(estimator):
    """Raise if a parameter is a class in place of an object of it."""
    for name, value in estimator.get_params(deep=False).items():
        for part in value if type(value) in (list, tuple) else (value,):
            if isinstance(part, type) and issubclass(part, BaseEstimator):
                kind = part.__name__
                raise ValueError(
                    f"{name}: {kind} is a class. Pass an object of it: {kind}(...)."
                )


def as_asked(estimator):
    """Return an unfitted estimator with the parameters of now, whatever they become."""
    asked = type(estimator).__new__(type(estimator))
    params = estimator.get_params(deep=False)
    vars(asked).update({name: _of_now(value) for name, value in params.items()})
    return asked


def _of_now(value):
    """Return options as they are now; not a copy of the networks among them."""
    if type(value) in (list, tuple):
        return type(value)(map(_of_now, value))
    return copy.copy(value) if isinstance(value, Options) else value


def check_nested(estimator, params):
    """Raise if a nested parameter is to be set of a parameter that is no object."""
    values = estimator.get_params(deep=False) | params
    for key in params:
        name, delimiter, inner = key.partition("__")
        value = values.get(name, estimator)
        if delimiter and not hasattr(value, "set_params"):
            raise ValueError(
                f"{key!r} cannot be set: {name}={value!r} has no parameter {inner!r}. "
                f"Set {name} to an object that has it first, for example "
                f"set_params({name}=..., {key}=...)."
            )
