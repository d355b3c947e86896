"""A user's script: mypy reads it, nobody runs it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgmje import (
    ConditionalMixtureDensity,
    DensityOutlierDetector,
    GaussianMixture,
    GMJEEmbedder,
    Mixture,
    MixtureImputer,
    as_mixture,
)
from skgmje.metrics import l2_distance, wasserstein

X: NDArray[np.float64] = np.random.default_rng(0).normal(size=(100, 3))

model: GaussianMixture = GaussianMixture("auto", criterion="bic", random_state=0).fit(X)
scores: NDArray[Any] = model.score_samples(X)
labels: NDArray[Any] = model.predict(X)
mixture: Mixture = model.mixture_
given: Mixture = mixture.condition([0], [0.5])
same: Mixture = as_mixture(model)
n_components: int = given.n_components
model.save("model.skgmje")

regression = ConditionalMixtureDensity("prototypes").fit(X[:, :2], X[:, 2])
low, high = regression.predict_interval(X[:, :2], 0.9)
outliers = DensityOutlierDetector(random_state=np.random.RandomState(0)).fit(X)
embedding: NDArray[Any] = GMJEEmbedder(max_iter=10).fit(X).transform(X)
filled: NDArray[Any] = MixtureImputer(strategy="mean").fit(X).transform(X)
distances = l2_distance(mixture, same), wasserstein(mixture, same)

GaussianMixture(criterion="aic")  # type: ignore[arg-type]
GaussianMixture(2, components=3)  # type: ignore[call-arg]
mixture.condition([0])  # type: ignore[call-arg]
