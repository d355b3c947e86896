"""The fourteen models beside mclust: M-steps, single fits, searches by BIC.

Run ``python -m benchmarks.clusters.oracles`` (15 CPU minutes), or with some of the
words ``steps``, ``fits`` and ``search``. `fits` takes every fifth of the 1,116 fits,
with ``--all`` each. Names of sets leave out the others. All with ``reg_covar=0`` and
``shrinkage=0``. A fit is sound if every component has more samples than features and,
in whitened data, no variance below 1e-4.
"""

import sys
import time
import warnings
from functools import partial

import numpy as np

from benchmarks.clusters._oracles import load_set, read_oracle
from benchmarks.shared.report import markdown, publish
from skgmje import GaussianMixture
from skgmje.em import expectation_maximization, start_mixture
from skgmje.gaussian import COVARIANCE_TYPES

MODELS = "EII VII EEI VEI EVI VVI EEE VEE EVE VVE EEV VEV EVV VVV".split()

# One log-likelihood of whole samples within which two fits are as good.
GAP = 0.01
LEAST_VARIANCE = 1e-4


def steps():
    """Return rows of the M-step from the classes, and of EM to convergence."""
    rows, oracle = [], read_oracle("mclust_steps")
    for name, known in oracle.items():
        X, y = load_set(name)
        for model in MODELS:
            start = start_mixture(X, y, model, reg_covar=0)
            result = expectation_maximization(
                X, start, model=model, reg_covar=0, tol=1e-9, max_iter=3000
            )
            pairs = [
                (start, known[model]["loglik_after_one_m_step"]),
                (result.mixture, known[model]["loglik_em"]),
            ]
            gaps = [(m.log_prob(X).sum() - value) / abs(value) for m, value in pairs]
            rows.append((name, model, *gaps))
    return rows


def is_sound(mixture, X):
    """Return whether no component is a spike."""
    n_rows, n_features = X.shape
    if mixture.weights.min() * n_rows < n_features + 1:
        return False
    scale = np.linalg.inv(np.linalg.cholesky(np.cov(X.T).reshape(n_features, -1)))
    dense = COVARIANCE_TYPES[mixture.covariance_type].dense
    white = scale @ dense(mixture.covariances, *mixture.means.shape) @ scale.T
    return bool(np.linalg.eigvalsh(white).min() >= LEAST_VARIANCE)


def fits(every=5):
    """Return rows of single fits from the pool, in one call each."""
    rows, oracle = [], read_oracle("mclust")["fits"]
    cases = [
        (name, model, int(size), known)
        for name, models in oracle.items()
        for model, sizes in models.items()
        for size, known in sizes.items()
    ]
    for name, model, size, known in cases[::every]:
        X, _ = load_set(name)
        mixture = GaussianMixture(
            size,
            covariance_type=model,
            init_params="auto",
            reg_covar=0,
            tol=1e-6,
            max_iter=1000,
            random_state=0,
        ).fit(X)
        gap = mixture.score(X) * len(X) - known["loglik"]
        sound = is_sound(mixture.mixture_, X)
        rows.append((name, model, size, gap, sound, mixture._count_parameters()))
        assert mixture._count_parameters() == known["df"]
    return rows


def search(names=()):
    """Return rows of what is chosen by BIC among all models and sizes."""
    rows = []
    for name, known in read_oracle("mclust")["chosen"].items():
        if names and name not in names:
            continue
        X, _ = load_set(name)
        begin = time.process_time()
        mixture = GaussianMixture(
            "auto",
            covariance_type="auto",
            criterion="bic",
            reg_covar=0,
            random_state=0,
        ).fit(X)
        seconds = time.process_time() - begin
        found = f"{mixture.model_} {len(mixture.weights_)}"
        theirs = f"{known['model']} {known['K']}"
        # mclust's sign is the other.
        rows.append((name, found, -mixture.bic(X), theirs, known["bic"], seconds))
        print(*rows[-1], flush=True)
    return rows


def tables(found):
    """Return the Markdown of what was measured."""
    parts = []
    if "steps" in found:
        worst = [
            (model, *np.min([row[2:] for row in found["steps"] if row[1] == model], 0))
            for model in MODELS
        ]
        rows = [(m, f"{a:.1e}", f"{b:.1e}") for m, a, b in worst]
        header = ("Model", "One M-step", "EM to convergence")
        parts += ["Lowest relative gain in log-likelihood over mclust, five sets:", ""]
        parts += [markdown(header, rows), ""]
    if "fits" in found:
        rows = []
        for name in dict.fromkeys(row[0] for row in found["fits"]):
            gaps = [row[3] for row in found["fits"] if row[0] == name and row[4]]
            count = sum(row[0] == name for row in found["fits"])
            share = np.mean(np.array(gaps) >= -GAP)
            rows.append((name, count, len(gaps), f"{share:.2f}"))
        gaps = np.array([row[3] for row in found["fits"] if row[4]])
        rows.append(
            ("all", len(found["fits"]), len(gaps), f"{(gaps >= -GAP).mean():.2f}")
        )
        header = ("Set", "Fits", "Sound", f"of these at most {GAP} below mclust")
        parts += ['One call, `init_params="auto"`:', "", markdown(header, rows), ""]
        low = [row for row in found["fits"] if row[4] and row[3] < -GAP]
        low = [(n, m, k, f"{gap:.2f}") for n, m, k, gap, *_ in low]
        header = ("Set", "Model", "K", "Log-likelihood less mclust's")
        parts += ["The others:", "", markdown(header, low), ""]
    if "search" in found:
        rows = [
            (name, ours, f"{a:.2f}", theirs, f"{b:.2f}", f"{seconds:.1f}")
            for name, ours, a, theirs, b, seconds in found["search"]
        ]
        header = ("Set", "Ours", "BIC", "mclust", "its BIC", "CPU s")
        parts += ["Chosen by BIC (mclust's sign, the larger the better):", ""]
        parts += [markdown(header, rows), ""]
    return "\n".join(parts)


def main(words):
    """Measure the parts that are asked for."""
    warnings.simplefilter("ignore")
    names = [word for word in words if word in read_oracle("mclust")["chosen"]]
    measures = {
        "steps": steps,
        "fits": partial(fits, 1) if "--all" in words else fits,
        "search": partial(search, names),
    }
    for part in [word for word in measures if word in words] or measures:
        rows = measures[part]()
        table = tables({part: rows})
        publish(__file__, f"clusters-{part}", {"rows": rows}, table)


if __name__ == "__main__":
    main(sys.argv[1:])
