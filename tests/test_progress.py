"""What a long training says while it runs."""

import pytest

from skgmje._training._schedule import Progress


@pytest.mark.parametrize(
    ("max_iter", "epoch", "n_lines"), [(100, 1, 10), (300, 3, 10), (7, 1, 7), (5, 5, 1)]
)
def test_a_line_every_tenth(capsys, max_iter, epoch, n_lines):
    progress = Progress("Name", max_iter, 1, word="cost")
    for _ in range(0, max_iter, epoch):
        progress([0.5] * epoch)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == n_lines
    assert lines[-1].startswith(f"[Name] step {max_iter}/{max_iter}, cost 0.5, ")
