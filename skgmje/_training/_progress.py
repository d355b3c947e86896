"""Progress bars."""

import time

import numpy as np


class Progress:
    """Print a line every tenth of a run."""

    remembered = ("n_steps",)

    remembered = ("n_steps",)

    def __init__(self, name, max_iter, verbose, word="loss"):
        self.name = name
        self.word = word
        self.max_iter = max_iter
        self.verbose = verbose
        self.n_steps = 0
        self.start = time.perf_counter()

    def __call__(self, losses):
        before, self.n_steps = self.n_steps, self.n_steps + len(losses)
        if self.verbose > 1 or (self.verbose and self._tenths(before)):
            seconds = time.perf_counter() - self.start
            print(
                f"[{self.name}] step {self.n_steps}/{self.max_iter}, "
                f"{self.word} {np.mean(losses):.4g}, {seconds:.1f} s",
                flush=True,
            )

    def _tenths(self, before):
        """Return how many tenths of the run ended since step `before`."""
        return 10 * self.n_steps // self.max_iter - 10 * before // self.max_iter
