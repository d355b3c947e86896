"""Pages that train for long are left to `make doc` and to the slow tests."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "guide"
SLOW = {"decoder", "generator", "image_density", "images", "stacking"}


def pytest_collection_modifyitems(items):
    """Mark the snippets of the slow pages."""
    for item in items:
        if item.path.parent == FOLDER and item.path.stem in SLOW:
            item.add_marker(pytest.mark.slow)
