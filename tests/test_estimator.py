"""A fit tells scikit-learn of its steps, where scikit-learn can listen."""

import importlib.util
import sys

from skgmje import _callbacks, _sklearn


def _load(name, module):
    spec = importlib.util.spec_from_file_location(name, module.__file__)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_before_callbacks_existed_nobody_listens(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    old_names = _load("old_names", _sklearn)
    assert old_names.CallbackSupportMixin.__module__ == "old_names"
    monkeypatch.setitem(sys.modules, "skgmje._sklearn", old_names)
    old = _load("old", _callbacks)
    estimator = old.EstimatorMixin()
    task = old.FitTask(estimator, X=None, n_steps=3)
    assert task.end_epoch() is False
    with task.part(estimator, "part"):
        pass
    task.end()
    assert not hasattr(estimator, "set_callbacks")
