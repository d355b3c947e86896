"""What sphinx-gallery does not give to the examples: the name of their file."""

import builtins
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def name_file(gallery_conf, fname):
    """Let ``__file__`` be the path of the example that runs next.

    The examples write their pictures beside themselves, and sphinx-gallery leaves
    the name undefined on purpose, because notebooks do not have it.
    """
    builtins.__file__ = str(EXAMPLES / fname) if fname else ""
