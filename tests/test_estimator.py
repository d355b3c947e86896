"""A fit tells scikit-learn of its steps, where scikit-learn can listen."""

import importlib.util
import sys

from skgmje import _estimator


def test_before_callbacks_existed_nobody_listens(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    spec = importlib.util.spec_from_file_location("old", _estimator.__file__)
    old = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(old)
    estimator = old.EstimatorMixin()
    task = old.FitTask(estimator, X=None, n_steps=3)
    assert task.end_epoch() is False
    with task.part(estimator, "part"):
        pass
    task.end()
    assert not hasattr(estimator, "set_callbacks")
