"""Wrong inputs get an error that says so; odd ones an answer that is finite."""

import json

CODE = """
import json
import scipy.sparse
import skgmje
from skgmje.conditional import MixtureNetwork
from sklearn.preprocessing import StandardScaler
from skgmje.embedding import MLP

small = dict(max_iter=5, hidden_layer_sizes=(4,), random_state=0)
encoder = dict(max_iter=5, encoder=MLP((4,)), random_state=0)
MODELS = {
    "GaussianMixture": skgmje.GaussianMixture(2, random_state=0),
    "KernelMixtureDensity": skgmje.KernelMixtureDensity(2, max_iter=5, random_state=0),
    "GrowingNeuralGasMixture": skgmje.GrowingNeuralGasMixture(
        6, growth=skgmje.mixture.GasGrowth(insertion_interval=20), random_state=0
    ),
    "prototypes": skgmje.ConditionalMixtureDensity("prototypes", random_state=0),
    "GJEEmbedder": skgmje.GJEEmbedder(2, **encoder),
    "GMJEEmbedder": skgmje.GMJEEmbedder(
        2, mixture=skgmje.GaussianMixture(2), **encoder
    ),
    "network": skgmje.ConditionalMixtureDensity(
        MixtureNetwork(n_members=2, max_iter=3, hidden_layer_sizes=(4,)), random_state=0
    ),
    "TransformedDensity": skgmje.TransformedDensity(
        StandardScaler(), skgmje.GaussianMixture(2, random_state=0)
    ),
}
X = X[:80]

def put(value):
    rows = X.copy()
    rows[3, 1] = value
    return rows

TAKE_NAN = ("GaussianMixture", "prototypes")
words = X.astype(object)
words[0, 0] = "word"
WRONG = {
    "infinity": put(np.inf),
    "minus infinity": put(-np.inf),
    "no rows": X[:0],
    "no columns": X[:, :0],
    "one dimension": X[:, 0],
    "three dimensions": X[None],
    "words": words,
    "complex numbers": X + 1j,
    "sparse matrix": scipy.sparse.csr_matrix(X),
    "None": None,
    "ragged rows": [[1.0, 2.0], [3.0]],
}
WRONG_TO_FIT = {
    "all NaN": np.full_like(X, np.nan),
    "squares overflow": 1e200 * X,
    "one row": X[:1],
}
WRONG_TO_ASK = {"too few columns": X[:, :2], "too many columns": np.hstack([X, X])}
ODD = {
    "constant column": np.column_stack([X[:, :2], np.ones(len(X))]),
    "repeated rows": np.repeat(X[:20], 4, axis=0),
    "scale 1e-150": 1e-150 * X,
    "scale 1e140": 1e140 * X,
    "far from zero": X + 1e9,
    "integers": np.round(10 * X).astype(int),
    "single precision": X.astype(np.float32),
    "list of lists": X.tolist(),
    "other order in memory": np.asfortranarray(X)[::-1],
    "read-only": X.copy(),
    "more columns than rows": np.random.RandomState(1).normal(size=(12, 20)),
}
ODD["read-only"].flags.writeable = False

def fit(estimator, rows):
    if isinstance(estimator, skgmje.ConditionalMixtureDensity):
        n = len(rows) if hasattr(rows, "__len__") else 80
        return estimator.fit(rows, np.linspace(-1.0, 1.0, n))
    return estimator.fit(rows)

def ask(fitted, rows):
    methods = ("score_samples", "predict", "predict_proba", "transform")
    return [getattr(fitted, m)(rows) for m in methods if hasattr(fitted, m)]

from sklearn.base import clone

def outcome(function, *args):
    try:
        answers = function(*args)
    except (ValueError, TypeError) as error:
        return "error" if len(str(error)) > 20 else f"mute: {error!r}"
    except Exception as error:
        return f"crash: {error!r}"[:300]
    answers = answers if isinstance(answers, list) else []
    nan = any(np.isnan(np.asarray(a, float)).any() for a in answers)
    return "NaN" if nan else "answer"

def outcomes(name, model):
    fitted = fit(clone(model), X)
    wrong = WRONG if name in TAKE_NAN else WRONG | {"NaN": put(np.nan)}
    for label, rows in (wrong | WRONG_TO_FIT).items():
        yield f"error | fit | {label}", outcome(fit, clone(model), rows)
    for label, rows in (wrong | WRONG_TO_ASK).items():
        yield f"error | ask | {label}", outcome(ask, fitted, rows)
    for label, rows in ODD.items():
        found = outcome(lambda: ask(fit(clone(model), rows), rows))
        yield f"answer | both | {label}", found
    yield "answer | ask | far row", outcome(ask, fitted, 1e100 * X)

print(json.dumps([[case, found, name] for name, model in MODELS.items()
                  for case, found in outcomes(name, model)]))
"""


def test_wrong_inputs_are_named_and_odd_ones_answered(answer_here, record):
    outcomes = json.loads(answer_here(CODE))
    assert len({name for *_, name in outcomes}) == 8
    wrong = [found for found in outcomes if found[1] != found[0].split(" | ")[0]]
    record("bad input", len(outcomes), len(outcomes) - len(wrong))
    assert wrong == []
