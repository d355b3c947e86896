"""What the quick start prints."""

import textwrap
from dataclasses import dataclass

import numpy as np

LEGEND = """\
nats         mean held-out log-likelihood per sample, features in standard deviations
seconds      of one fit; those of sklearn's densities include the choice of K and
             covariance type (by BIC) or bandwidth (by CV), which the others are given
means stay   where the cost put them; weights and full covariances by likelihood
means move   too, by EM from there
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
    n_samples, n_features = problem.X.shape
    n_kept = getattr(problem.prepare, "n_components", n_features)
    kept = "" if n_kept == n_features else f" reduced to {n_kept} components"
    lines = [
        "",
        f"{problem.name}: {n_samples} samples, {n_features} features{kept}; "
        f"K = {problem.n_components}, shrinkage = {problem.shrinkage:g}",
        f"{'':24}|     means stay     |  means move, no cost",
        f"{'':24}|     nats   seconds |     nats   seconds",
    ]
    for name, stages in outcomes.items():
        stay = _cells(stages["covariances"]) if "covariances" in stages else " " * 19
        lines.append(f"{name:24}|{stay} |{_cells(stages['em'])}")
    return "\n".join([*lines, ""])


def _cells(outcome):
    return f"{outcome.nats:9.3f}{outcome.seconds:10.2f}"


def conclude(outcomes, costs):
    """Return what the numbers say; none of them is typed."""
    stay, move = (_spreads(outcomes, costs, how) for how in ("covariances", "em"))
    n_smaller = sum(move[name] < stay[name] for name in stay)
    best = {n: _best_cost(done, costs, "covariances") for n, done in outcomes.items()}
    gains = _gains(outcomes, costs)
    n_better = sum(gain > 0 for gain in gains)
    sentences = [
        "1. Where the means stay, best and worst cost differ by "
        f"{_join(stay)}: {_beyond_noise(outcomes, costs, 'covariances')}. The best is "
        f"{', '.join(f'{cost} ({name})' for name, cost in best.items())}.",
        f"2. Where the means move, they differ by {_join(move)}: less on {n_smaller} "
        f"of {len(move)} data sets, and {_beyond_noise(outcomes, costs, 'em')}.",
        f"3. Moving the means changes a score by {min(gains):+.3f} to "
        f"{max(gains):+.3f} nats, {np.median(gains):+.3f} in the median of all costs "
        f"and data sets. It helps in {n_better} of {len(gains)} cases.",
        "4. The default, svd with means that stay, less others, over the data sets: "
        f"{_differences(outcomes, 'svd', 'covariances')}.",
        f"5. The same with means that move: {_differences(outcomes, 'svd', 'em')}.",
    ]
    lines = [textwrap.fill(s, 84, subsequent_indent="   ") for s in sentences]
    return "\n".join(["", "What the numbers say", *lines])


def _join(values):
    return ", ".join(f"{value:.2f} ({name})" for name, value in values.items())


def _gains(outcomes, costs):
    """Return what each cost gains on each problem if the means move."""
    return [
        done[cost]["em"].nats - done[cost]["covariances"].nats
        for done in outcomes.values()
        for cost in costs
    ]


def _spreads(outcomes, costs, refine):
    ranked = {name: _ranked(done, costs, refine) for name, done in outcomes.items()}
    return {name: done[-1].nats - done[0].nats for name, done in ranked.items()}


def _best_cost(done, costs, refine):
    return max(costs, key=lambda cost: done[cost][refine].nats)


def _ranked(done, costs, refine):
    return sorted((done[cost][refine] for cost in costs), key=lambda one: one.nats)


def _beyond_noise(outcomes, costs, refine):
    n = sum(not _is_noise(done, costs, refine) for done in outcomes.values())
    return f"by more than two standard errors over the folds on {n} of {len(outcomes)}"


def _is_noise(done, costs, refine):
    """Tell whether the folds leave open which cost is better."""
    worst, *_, best = _ranked(done, costs, refine)
    gains = best.scores - worst.scores
    return gains.mean() < 2 * gains.std(ddof=1) / len(gains) ** 0.5


def _differences(outcomes, cost, refine):
    """Return the range over the problems, for each density without a cost."""
    first = next(iter(outcomes.values()))
    parts = []
    for other in [name for name, stages in first.items() if len(stages) == 1]:
        pairs = [(done[cost][refine], done[other]["em"]) for done in outcomes.values()]
        nats = [mine.nats - its.nats for mine, its in pairs]
        parts.append(f"{min(nats):+.2f} to {max(nats):+.2f} nats ({other})")
    return ", ".join(parts)
