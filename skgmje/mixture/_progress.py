"""What a long fit says while it runs."""

import numpy as np

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # before scikit-learn 1.9

    class CallbackSupportMixin:
        """Stand-in: there are no callbacks to support."""

        def _init_callback_context(self, **kwargs):
            return _NoContext()

    class _NoContext:
        def call_on_fit_task_begin(self, **kwargs):
            return self

        def call_on_fit_task_end(self, **kwargs):
            return False


# Fewer losses than these tell nothing of a trend: one alone never varies.
_LEAST_WINDOW = 5


class Plateau:
    """Tell when the loss has stopped moving.

    Parameters
    ----------
    max_iter : int
        Number of steps of the whole run; a tenth of them, but at least five, is
        looked at.

    tol : float
        The loss has stopped when it varied by less.

    warmup : float
        Fraction of the run before which losses do not compare.
    """

    def __init__(self, max_iter, tol, warmup):
        self.window = max(_LEAST_WINDOW, -(-max_iter // 10))
        self.first = int(np.ceil(warmup * max_iter)) + self.window
        self.tol = tol
        self.losses = []

    def __call__(self, losses):
        self.losses += losses
        return len(self.losses) >= self.first and self.spread() < self.tol

    def spread(self):
        """Return by how much the loss varied lately."""
        return float(np.ptp(self.losses[-self.window :]))


class FitTask:
    """Tell scikit-learn's callbacks of a fit and of its epochs.

    Parameters
    ----------
    estimator : CallbackSupportMixin
        Who is being fitted.

    n_epochs : int
        Number of epochs.

    **data : dict
        `X`, `y` and `metadata` of the fit.
    """

    def __init__(self, estimator, n_epochs, **data):
        context = estimator._init_callback_context(max_subtasks=n_epochs)
        self.context = context
        self.news = {"estimator": estimator, **data}
        self.has_listeners = hasattr(estimator, "_skl_callbacks")
        context.call_on_fit_task_begin(**self.news)

    def end_epoch(self):
        """Report an epoch; return whether a callback asks to stop."""
        if not self.has_listeners:
            return False
        epoch = self.context.subcontext(task_name="epoch")
        epoch.call_on_fit_task_begin(**self.news)
        return epoch.call_on_fit_task_end(**self.news)

    def end(self):
        """Report the end of the fit; the estimator is fitted."""
        self.context.call_on_fit_task_end(**self.news, reconstruction_attributes={})
