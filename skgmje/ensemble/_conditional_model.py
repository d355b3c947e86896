"""A fitted pool of experts, and of networks that see them."""

from dataclasses import dataclass
from typing import Any

from skgmje._joint import Conditional
from skgmje._joint._pool import join_mixtures

# The name of the networks that see the experts.
STACK = "stack"
# An expert that takes part in the pool, but that networks do not see.
JOINT = "joint"


@dataclass(frozen=True)
class StackedConditional(Conditional):
    r"""Experts, networks that see them, and the weights of both.

    .. math:: p(y | x) = \sum_j v_j\, p_j(y | x)

    Parameters
    ----------
    experts : dict
        An :class:`Expert` for each name, in the order of the features.

    stack : Top
        What sees contexts and experts.

    weights : dict
        Weight of each density in the pool; names of experts, and "stack".

    x_units, y_units : tuple of ndarrays
        Means and standard deviations of contexts and targets.

    calibration : Calibration
        The last step.
    """

    experts: dict
    stack: Any
    weights: dict
    x_units: tuple
    y_units: tuple
    calibration: Any

    @property
    def n_context(self):
        return len(self.x_units[0])

    @property
    def n_targets(self):
        return len(self.y_units[0])

    def predict_mixture(self, X):
        loc, scale = self.x_units
        context = (X - loc) / scale
        answers = {}
        for name, expert in self.experts.items():
            answers[name] = expert.answer(context, X)
            _check_answer(name, answers[name])
        parts = []
        for name, weight in self.weights.items():
            if not weight:
                continue
            if name == STACK:
                part = self.stack.predict_mixture(context, seen(answers))
            else:
                part = answers[name].mixture
            parts.append((weight, part))
        mixture = join_mixtures(parts, len(X), self.n_targets)
        loc, scale = self.y_units
        return self.calibration.apply(mixture).affine(scale, loc)


def seen(answers):
    """Return what networks see of the experts' answers.

    Parameters
    ----------
    answers : dict
        An :class:`Answer` for each name.

    Returns
    -------
    answers : list
        Those of all but the joint mixture.
    """
    return [answer for name, answer in answers.items() if name != JOINT]


def _check_answer(name, answer):
    if not answer.is_finite():
        raise ValueError(
            f"The expert {name!r} predicts NaN or infinity for some of the rows, "
            "though it did not in fit. Mend it, or fit without it: experts=..."
        )
