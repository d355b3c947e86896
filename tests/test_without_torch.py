"""What has no network works where torch and skorch are not installed."""

import os
import subprocess
import sys

import pytest

BLOCK = """
import sys, warnings
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "skorch"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
import importlib.metadata
of_any = importlib.metadata.version
def version(name):
    if name in ("torch", "skorch"):
        raise importlib.metadata.PackageNotFoundError(name)
    return of_any(name)
importlib.metadata.version = version
warnings.simplefilter("ignore")
import numpy as np
import skgmje
from sklearn.preprocessing import StandardScaler
X = np.random.RandomState(0).normal(size=(80, 2)) + np.repeat([[0.0], [4.0]], 40, 0)
"""

WORKS = """
import skgmje.inspection, skgmje.metrics
density = skgmje.GaussianMixture("auto", covariance_type="auto", random_state=0).fit(X)
holes = np.where(np.arange(160).reshape(80, 2) % 7, X, np.nan)
fits = [
    density,
    skgmje.GaussianMixture(2, random_state=0).fit(holes),
    skgmje.GaussianMixture(2, covariance_type="low-rank", rank=1).fit(X),
    skgmje.GrowingNeuralGasMixture(max_nodes=4, random_state=0).fit(X),
    skgmje.TransformedDensity(StandardScaler(), density).fit(X),
    skgmje.StackingDensity(random_state=0).fit(X),
    skgmje.DensityOutlierDetector().fit(X),
]
for fit in fits:
    assert np.isfinite(fit.score_samples(X)).all(), fit
    fit.save(sys.argv[1])
    again = skgmje.load(sys.argv[1])
    assert (again.score_samples(X) == fit.score_samples(X)).all(), fit
given = density.mixture_.condition([0], X[:3, :1])
assert np.isfinite(skgmje.metrics.crps(X[:3, 1:], given))
assert skgmje.metrics.l2_distance(density.mixture_, fits[1].mixture_) >= 0
tables = skgmje.MixtureImputer(random_state=0).fit(holes).sample_imputations(holes, 2)
assert np.isfinite(tables).all()
skgmje.inspection.MixtureDisplay.from_estimator(density, X)
assert not {"torch", "skorch"} & set(sys.modules)
"""

NETWORKS = """
cases = {name: getattr(skgmje, name)() for name in sys.argv[1:]}
for name, estimator in cases.items():
    try:
        estimator.fit(X, X)
    except ImportError as error:
        assert "pip install torch" in str(error), error
    else:
        raise AssertionError(f"{name} has fitted without torch")
try:
    import skgmje.modules
except ImportError as error:
    assert "pip install torch" in str(error), error
"""


def _run(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", BLOCK + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "MPLBACKEND": "Agg"},
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_what_has_no_network_works_without_torch(tmp_path):
    _run(WORKS, tmp_path / "model")


def test_what_has_a_network_says_which_package_is_missing():
    names = ["KernelMixtureDensity", "GJEEmbedder", "GMJEEmbedder", "KernelDecoder"]
    names += ["ConditionalMixtureDensity", "StackingConditionalDensity"]
    _run(NETWORKS, *names)


@pytest.mark.parametrize("package", ["torch", "skorch"])
def test_torch_stays_a_dependency(package):
    from importlib.metadata import requires

    assert any(line.startswith(package) for line in requires("skgmje"))
