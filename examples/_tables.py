"""What the quick start prints."""

import textwrap
from dataclasses import dataclass

import numpy as np

LEGEND = """\
nats     mean held-out log-likelihood per row, features in standard deviations
seconds  of one fit; those of sklearn's densities include the choice of K and
         covariance type (by BIC) or bandwidth (by CV), which the others are given
before   the cost's centres, with weights and one shared variance by likelihood
after    EM from those centres: means, weights, full covariances
"""


@dataclass
class Outcome:
    """How a density did: its score in each fold, and the mean seconds of a fit."""

    scores: np.ndarray
    seconds: float

    @property
    def nats(self):
        """Mean held-out log-likelihood."""
        return float(self.scores.mean())


def format_table(problem, outcomes):
    """Return held-out nats and fit seconds of all densities on one problem."""
    n_rows, n_features = problem.X.shape
    n_kept = getattr(problem.prepare, "n_components", n_features)
    kept = "" if n_kept == n_features else f" reduced to {n_kept} components"
    lines = [
        "",
        f"{problem.name}: {n_rows} rows, {n_features} features{kept}; "
        f"K = {problem.n_components}, shrinkage = {problem.shrinkage:g}",
        f"{'':24}| before refinement |   after it, or none",
        f"{'':24}|     nats   seconds |     nats   seconds",
    ]
    for name, stages in outcomes.items():
        before = _cells(stages["weights"]) if "weights" in stages else " " * 19
        lines.append(f"{name:24}|{before} |{_cells(stages['em'])}")
    return "\n".join([*lines, ""])


def _cells(outcome):
    return f"{outcome.nats:9.3f}{outcome.seconds:10.2f}"


def conclude(outcomes, costs):
    """Return what the numbers say; none of them is typed."""
    before, after = (_spreads(outcomes, costs, refine) for refine in ("weights", "em"))
    gains = {name: _least_gain(rows, costs) for name, rows in outcomes.items()}
    n_wins = sum(gains[name] > before[name] for name in gains)
    n_smaller = sum(after[name] < before[name] for name in before)
    n_noise = sum(_is_noise(rows, costs) for rows in outcomes.values())
    sentences = [
        f"1. The refinement gains every cost at least {_join(gains)} nats; that is "
        "more than any choice of the cost does before it on "
        f"{n_wins} of {len(gains)} data sets.",
        f"2. Best and worst cost differ by {_join(before)} before the refinement, by "
        f"{_join(after)} after it: less on {n_smaller} of {len(gains)} data sets, and "
        f"within two standard errors over the folds on {n_noise}.",
        f"3. The refined svd cost gains {_differences(outcomes, 'svd')}.",
    ]
    lines = [textwrap.fill(s, 84, subsequent_indent="   ") for s in sentences]
    return "\n".join(["", "What the numbers say", *lines])


def _join(values):
    return ", ".join(f"{value:.2f} ({name})" for name, value in values.items())


def _least_gain(rows, costs):
    return min(rows[cost]["em"].nats - rows[cost]["weights"].nats for cost in costs)


def _spreads(outcomes, costs, refine):
    ranked = {name: _ranked(rows, costs, refine) for name, rows in outcomes.items()}
    return {name: done[-1].nats - done[0].nats for name, done in ranked.items()}


def _ranked(rows, costs, refine):
    return sorted((rows[cost][refine] for cost in costs), key=lambda done: done.nats)


def _is_noise(rows, costs):
    """Tell whether the folds leave open which refined cost is better."""
    worst, *_, best = _ranked(rows, costs, "em")
    gains = best.scores - worst.scores
    return gains.mean() < 2 * gains.std(ddof=1) / len(gains) ** 0.5


def _differences(outcomes, cost):
    """Return the range over the problems, for each density without a cost."""
    first = next(iter(outcomes.values()))
    parts = []
    for other in [name for name, stages in first.items() if "weights" not in stages]:
        pairs = [(rows[cost]["em"], rows[other]["em"]) for rows in outcomes.values()]
        nats = [mine.nats - its.nats for mine, its in pairs]
        parts.append(f"{min(nats):+.2f} to {max(nats):+.2f} nats over {other}")
    return ", ".join(parts)
