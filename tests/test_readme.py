"""The README's snippet runs as it stands."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_readme_is_short():
    assert len(README.splitlines()) < 150


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("snippet", SNIPPETS)
def test_snippet_runs(snippet, capsys, tmp_path, monkeypatch):
    assert len(snippet.splitlines()) < 12
    monkeypatch.chdir(tmp_path)
    exec(snippet, {})
    assert capsys.readouterr().out
