"""The example of a search with Optuna, which may be missing."""

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLE = str(Path(__file__).parents[1] / "examples" / "optuna_search.py")


@pytest.mark.slow
def test_search_finds_a_better_density(capsys):
    pytest.importorskip("optuna")
    found = runpy.run_path(EXAMPLE)
    assert found["study"].best_value > found["default"] + 0.5
    assert f"{found['study'].best_value:.3f} nats" in capsys.readouterr().out


def test_search_names_the_missing_package(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(EXAMPLE)
    assert end.value.code is None
    assert 'pip install "skgmje[search]"' in capsys.readouterr().out
