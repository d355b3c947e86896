"""Use an installed wheel as its first user would; `make wheel-check` runs this.

It needs no test tool. Where torch is missing, it does what needs no network.
"""

import importlib.util
import os
import re
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def check_installation():
    import skgmje

    assert "site-packages" in Path(skgmje.__file__).parts, "This is not the wheel."
    assert skgmje.__version__ == version("skgmje")


def fit_without_network(path):
    """Fit, score, draw, save and load what runs without torch."""
    import numpy as np
    from sklearn.datasets import load_iris
    from sklearn.preprocessing import PowerTransformer

    import skgmje
    from skgmje.inspection import MixtureDisplay

    X = load_iris().data
    gaps = np.where(np.arange(X.size).reshape(X.shape) % 7, X, np.nan)
    estimators = [
        (skgmje.GaussianMixture(3, random_state=0), gaps),
        (skgmje.StudentMixture(2, random_state=0), X),
        (skgmje.GrowingNeuralGasMixture(max_nodes=4, random_state=0), X),
        (skgmje.DensityOutlierDetector(random_state=0), X),
        (skgmje.TransformedDensity(PowerTransformer(), skgmje.GaussianMixture()), X),
    ]
    for estimator, data in estimators:
        scores = estimator.fit(data).score_samples(X)
        assert np.isfinite(scores).all(), estimator
        estimator.save(path)
        assert (skgmje.load(path).score_samples(X) == scores).all(), estimator
    MixtureDisplay.from_estimator(estimators[0][0], X, features=[0, 1])


def fit_networks():
    """Train one network, and load every public name."""
    from sklearn.datasets import make_moons

    import skgmje
    from skgmje.utils import all_estimators, all_functions

    assert len(all_estimators()) > 10
    assert len(all_functions()) > 50
    X, _ = make_moons(200, noise=0.1, random_state=0)
    density = skgmje.KernelMixtureDensity(5, max_iter=50, random_state=0)
    assert density.fit(X).score(X) > -3


def run_readme(folder):
    os.chdir(folder)
    text = README.read_text("utf-8")
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(code, {})


def main():
    os.environ.setdefault("MPLBACKEND", "Agg")
    warnings.simplefilter("ignore")
    check_installation()
    with tempfile.TemporaryDirectory() as folder:
        fit_without_network(Path(folder) / "model.safetensors")
        has_torch = importlib.util.find_spec("torch") is not None
        if has_torch:
            fit_networks()
            run_readme(folder)
            os.chdir(README.parent)
    with_or_without = "with" if has_torch else "without"
    print(f"The wheel works, {with_or_without} torch, on Python {sys.version}.")


if __name__ == "__main__":
    main()
