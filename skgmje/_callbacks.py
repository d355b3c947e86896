"""Base class of public estimators: files, checkpoints, and the steps of a fit."""

from __future__ import annotations

import os
import sys
from abc import abstractmethod
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import DensityMixin
from sklearn.utils.validation import check_is_fitted

from skgmje._interrupt import Interrupted, Work
from skgmje._options import check_nested, refuse_classes
from skgmje._settings import own_settings, settle
from skgmje._sklearn import CallbackSupport
from skgmje._typing import ArrayLike, NDArray, Self
from skgmje._validation import mean_score
from skgmje.em._blocks import RowBlocks


class EstimatorMixin(CallbackSupport):
    """A public estimator: its page in the documentation, and callbacks of its fits.

    ``fit`` happens in a :class:`FitTask`, which reports its steps, and ends. No method
    depends on settings of the process.
    """

    n_features_in_: int
    feature_names_in_: NDArray[Any]

    _doc_link_module = "skgmje"
    _doc_link_template = (
        "https://example.org/skgmje/doc/generated/"
        "{estimator_module}.{estimator_name}.html"
    )

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        settle(cls)

    def set_params(self, **params: Any) -> Self:
        """Set parameters of this estimator, and of the objects among them.

        Parameters
        ----------
        **params : dict
            Values by name; ``name__inner`` is a parameter of the object `name`.

        Returns
        -------
        self : object
            This estimator.

        Raises
        ------
        ValueError
            If there is no such parameter, or if `name` is a word instead of an object.
        """
        check_nested(self, params)
        return super().set_params(**params)

    def _validate_params(self):
        refuse_classes(self)
        super()._validate_params()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to a file that :func:`skgmje.load` reads.

        The file is of the safetensors format: numbers and words, no code. It needs
        the extra ``io``.

        Parameters
        ----------
        path : str or path-like
            Where to; an old file is replaced once the new one is complete.

        Raises
        ------
        TypeError
            If a fitted part is of a class of others that files do not know.

        sklearn.exceptions.NotFittedError
            If the estimator has not been fitted.
        """
        from skgmje._persistence._model import save

        check_is_fitted(self)
        save(self, path)

    def _open_checkpoint(self, trainer, *data):
        """Return where a fit to `data` keeps its state; None if it shall not."""
        folder = trainer.checkpoint_dir
        if folder is None:
            return None
        if not isinstance(self.random_state, Integral):
            raise ValueError(
                f"checkpoint_dir={folder!r} needs random_state to be an integer, got "
                f"{self.random_state!r}: a fit that starts again must draw the same "
                "numbers."
            )
        if trainer.callbacks:
            raise ValueError(
                f"checkpoint_dir={folder!r} does not keep the state of "
                f"callbacks={trainer.callbacks!r}. Leave one of them None."
            )
        from skgmje._persistence._checkpoint import Checkpoint, fingerprint

        arrays = []
        for item in data:
            arrays += item._digest() if isinstance(item, RowBlocks) else [item]
        known = fingerprint(self, arrays)
        return Checkpoint(folder, type(self).__name__, known, writes=_is_first())


class DensityEstimatorMixin(EstimatorMixin, DensityMixin):
    """A density of samples: its scores."""

    @abstractmethod
    def score_samples(self, X: ArrayLike) -> NDArray[Any]:
        """Compute the log-likelihood of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        log_prob : ndarray of shape (n_samples,)
            Log-density of each sample, in nats, in the units of `X`.
        """

    def score(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Compute the mean log-likelihood of the samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        log_likelihood : float
            Weighted mean of :meth:`score_samples`, in nats.
        """
        return mean_score(self.score_samples(X).astype(np.float64), sample_weight)


def _is_first():
    """Return whether this process writes files: of a group only the first one does."""
    distributed = sys.modules.get("torch.distributed")
    is_there = distributed is not None and distributed.is_available()
    return not (is_there and distributed.is_initialized()) or not distributed.get_rank()


class Change(Work):
    """All of what is done to an estimator, or nothing of it, in our own settings."""

    def __init__(self, estimator):
        self.estimator = estimator
        self.is_complete = False
        self.before = dict(vars(estimator))
        torch = sys.modules.get("torch")
        self.records = torch is None or torch.is_grad_enabled()
        self.settings = own_settings()

    def __enter__(self):
        self.settings.__enter__()
        return self

    def __exit__(self, kind, error, traceback):
        self.settings.__exit__(None, None, None)
        if "torch" in sys.modules:
            # Ctrl-C may have come while a block without gradients ended.
            sys.modules["torch"].set_grad_enabled(self.records)
        if error is None or self.is_complete:
            return
        # One step, which no signal can cut in two.
        self.estimator.__dict__ = self.before
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(
                f"{type(self.estimator).__name__} was interrupted with nothing to "
                "keep: it is as it was before."
            ) from error

    def end(self, function=None, *args):
        """Let a function complete the change, and return what it returns."""
        result = None if function is None else self.finish(function, *args)
        self.is_complete = True
        if self.when:
            raise Interrupted(
                f"{type(self.estimator).__name__} was interrupted {self.when}. What it "
                "had learned is kept: it is fitted.",
                self.estimator,
            )
        return result


class FitTask(Change):
    """A fit: reports it and its steps to scikit-learn's callbacks."""

    def __init__(self, estimator, X, y=None, sample_weight=None, *, n_steps=0):
        self.context = estimator._init_callback_context(max_subtasks=n_steps)
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self.news = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self.has_listeners = hasattr(estimator, "_skl_callbacks")
        # Where the estimator keeps its state, if it does; gone when the fit ends.
        self.checkpoint = None
        super().__init__(estimator)
        self.context.call_on_fit_task_begin(**self.news)

    def step(self, name, attributes=None):
        """Report a step; return whether a callback asks to stop."""
        if not self.has_listeners:
            return False
        task = self.context.subcontext(task_name=name)
        task.call_on_fit_task_begin(**self.news)
        return task.call_on_fit_task_end(
            **self.news, reconstruction_attributes=attributes
        )

    def end_epoch(self, losses=None):
        """Report an epoch of a training; return whether a callback asks to stop."""
        return self.step("epoch")

    @contextmanager
    def part(self, estimator, name):
        """Let another estimator be fitted as a step, with the callbacks of this one."""
        task = self.context.subcontext(task_name=name)
        with task.propagate_callback_context(estimator):
            task.call_on_fit_task_begin(**self.news)
            yield
            task.call_on_fit_task_end(**self.news)

    def end(self, store=None, *args):
        """Let the estimator store what it has learned; then it is fitted."""
        result = super().end(store, *args)
        if self.checkpoint is not None:
            self.checkpoint.finish()
        self.context.call_on_fit_task_end(**self.news, reconstruction_attributes={})
        return result
