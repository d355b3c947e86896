"""Private names of scikit-learn, so that a rename there costs one line here."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.pipeline import _name_estimators
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import _check_sample_weight

from skgmje._typing import Function

if TYPE_CHECKING:

    def _fit_context(
        *, prefer_skip_nested_validation: bool
    ) -> Callable[[Function], Function]: ...

    def available_if(check: Callable[..., Any]) -> Callable[[Function], Function]: ...

else:
    from sklearn.base import _fit_context
    from sklearn.utils.metaestimators import available_if

__all__ = [
    "CallbackSupport",
    "Interval",
    "StrOptions",
    "_check_sample_weight",
    "_fit_context",
    "_get_output_config",
    "_safe_indexing",
    "_name_estimators",
    "available_if",
    "boosted_nodes",
    "validate_parameter_constraints",
]


def boosted_nodes(model):
    """Return the nodes of fitted boosted trees, a list of arrays, and their offset."""
    trees = [tree.nodes for (tree,) in model._predictors]
    return trees, float(np.ravel(model._baseline_prediction)[0])


try:
    from sklearn.callback import CallbackSupportMixin as CallbackSupport
except ImportError:  # before scikit-learn 1.9

    class CallbackSupport:  # type: ignore[no-redef]
        """Stand-in: there are no callbacks to support."""

        def _init_callback_context(self, **kwargs):
            return _NoContext()

    class _NoContext:
        def subcontext(self, **kwargs):
            return self

        def propagate_callback_context(self, estimator):
            return nullcontext()

        def call_on_fit_task_begin(self, **kwargs):
            return self

        def call_on_fit_task_end(self, **kwargs):
            return False
