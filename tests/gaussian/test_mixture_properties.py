"""Properties of `Mixture` on mixtures of any scale, condition and weights."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from skgmje.gaussian import COVARIANCE_TYPES, Mixture

EXAMPLES = settings(max_examples=100)


@st.composite
def mixtures(draw, min_features=1, max_condition=1e5):
    """Draw a mixture and the generator that made it.

    Scales from 1e-6 to 1e6, even to sparse weights, means that coincide, are
    near or far, matrices with condition numbers up to `max_condition`.
    """
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    covariance_type = draw(st.sampled_from(sorted(COVARIANCE_TYPES)))
    n_components = draw(st.integers(1, 5))
    n_features = draw(st.integers(min_features, 6))
    scale = 10.0 ** draw(st.integers(-6, 6))
    spread = draw(st.sampled_from([0.0, 1.0, 30.0]))
    evenness = draw(st.sampled_from([0.1, 1.0, 100.0]))
    condition = draw(st.sampled_from([1.0, 1e2, max_condition]))

    shape = (n_components, n_features)
    weights = generator.dirichlet(np.full(n_components, evenness))
    means = scale * spread * generator.normal(size=shape)
    variances = scale**2 * condition ** -generator.random(shape)
    rotations = np.linalg.qr(generator.normal(size=(*shape, n_features)))[0]
    matrices = rotations * variances[:, None, :] @ np.swapaxes(rotations, -1, -2)
    matrices = 0.5 * (matrices + np.swapaxes(matrices, -1, -2))
    factors = scale * generator.normal(size=(*shape, 2))
    covariances = {
        "full": matrices,
        "tied": matrices[0],
        "diag": variances,
        "spherical": variances[:, 0],
        "low-rank": (factors, variances),
    }[covariance_type]
    return Mixture(weights, means, covariances, covariance_type), generator


def assert_close(actual, expected):
    """Compare log-densities: absolute near 0, relative far from it."""
    assert_allclose(actual, expected, rtol=1e-7, atol=1e-7)


@EXAMPLES
@given(mixtures(min_features=2), st.data())
def test_chain_rule(case, data):
    mixture, generator = case
    X = mixture.sample(16, generator)[0]
    n_given = data.draw(st.integers(1, mixture.n_features - 1))
    order = generator.permutation(mixture.n_features)
    given_, rest = order[:n_given], np.sort(order[n_given:])
    marginal = mixture.marginal(given_).log_prob(X[:, given_])
    conditional = mixture.condition(given_, X[:, given_]).log_prob(X[:, rest])
    assert_close(marginal + conditional, mixture.log_prob(X))


@EXAMPLES
@given(mixtures(min_features=3))
def test_marginal_of_a_marginal(case):
    mixture, generator = case
    X = mixture.sample(16, generator)[0]
    order = generator.permutation(mixture.n_features)
    twice = mixture.marginal(order[:2]).marginal([1])
    once = mixture.marginal(order[[1]])
    assert_close(twice.log_prob(X[:, order[[1]]]), once.log_prob(X[:, order[[1]]]))
    # A missing value is marginalised in the same way.
    gaps = X.copy()
    gaps[:, order[2:]] = np.nan
    expected = mixture.marginal(order[:2]).log_prob(X[:, order[:2]])
    assert_close(mixture.log_prob(gaps, missing="marginal"), expected)


@EXAMPLES
@given(mixtures(), st.integers(-300, 300))
def test_responsibilities_sum_to_one(case, exponent):
    mixture, generator = case
    X = mixture.sample(16, generator)[0]
    far = generator.normal(size=(16, mixture.n_features)) * 10.0**exponent
    for rows in (X, far, generator.choice([-1e200, 0, 1e200], size=far.shape)):
        posterior = mixture.responsibilities(rows)
        assert np.all(posterior >= 0)
        assert_allclose(posterior.sum(axis=-1), 1, rtol=1e-12)
        assert not np.any(np.isnan(mixture.log_prob(rows)))


@EXAMPLES
@given(mixtures(max_condition=1e2))
def test_affine_equivariance(case):
    mixture, generator = case
    d = mixture.n_features
    X = mixture.sample(16, generator)[0]
    b = generator.normal(size=d)
    rotation = np.linalg.qr(generator.normal(size=(d, d)))[0]
    stretch = generator.uniform(0.1, 10, size=d)
    for A in (np.asarray(-0.3), stretch, rotation * stretch):
        matrix = A if A.ndim == 2 else A * np.eye(d)
        # Without the shift: a large one would round away what X says.
        image = mixture.affine(A).log_prob(X @ matrix.T)
        assert_close(image + np.linalg.slogdet(matrix)[1], mixture.log_prob(X))
        shifted = mixture.affine(A, b)
        assert_allclose(shifted.mean, matrix @ mixture.mean + b, rtol=1e-9, atol=1e-9)


@EXAMPLES
@given(mixtures())
def test_order_of_components_does_not_matter(case):
    mixture, generator = case
    X = mixture.sample(16, generator)[0]
    order = generator.permutation(mixture.n_components).tolist()
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    permuted = Mixture(
        mixture.weights[order],
        mixture.means[order],
        kind.select(mixture.covariances, order),
        mixture.covariance_type,
    )
    assert_close(permuted.log_prob(X), mixture.log_prob(X))
    posterior = mixture.responsibilities(X)
    assert_allclose(permuted.responsibilities(X), posterior[:, order], atol=1e-9)
    assert_close(permuted.log_inner(mixture), mixture.log_inner(mixture))


@EXAMPLES
@given(mixtures(), st.integers(2, 4))
def test_weight_is_a_number_of_copies(case, copies):
    mixture, generator = case
    X = mixture.sample(16, generator)[0]
    order = [0] * copies + list(range(1, mixture.n_components))
    weights = mixture.weights[order]
    weights[:copies] /= copies
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    repeated = Mixture(
        weights,
        mixture.means[order],
        kind.select(mixture.covariances, order),
        mixture.covariance_type,
    )
    assert_close(repeated.log_prob(X), mixture.log_prob(X))
    assert_close(repeated.log_inner(mixture), mixture.log_inner(mixture))
    assert_allclose(repeated.mean, mixture.mean, rtol=1e-9, atol=1e-12)


@EXAMPLES
@given(mixtures())
def test_own_samples_score_best(case):
    # Gibbs: E_p[log p] > E_p[log q] for any other density q.
    mixture, generator = case
    X = mixture.sample(400, generator)[0]
    scale = np.sqrt(np.diagonal(mixture.covariance))
    shifted = mixture.affine(1.0, scale)
    stretched = mixture.affine(3.0, -2.0 * mixture.mean)
    own = np.mean(mixture.log_prob(X))
    assert own > np.mean(shifted.log_prob(X))
    assert own > np.mean(stretched.log_prob(X))


@EXAMPLES
@given(mixtures(), st.data())
def test_cauchy_schwarz(case, data):
    mixture, generator = case
    other = mixture.affine(1.0 + generator.random(), generator.normal())
    own, others = mixture.log_inner(mixture), other.log_inner(other)
    cross = mixture.log_inner(other)
    assert 2 * cross <= own + others + 1e-9 * (1 + abs(own))
    assert mixture.cauchy_schwarz_divergence(other) >= 0
    distance = mixture.l2_distance(other)
    assert abs(mixture.norm() - other.norm()) <= distance * (1 + 1e-6) + 1e-300
    assert distance <= (mixture.norm() + other.norm()) * (1 + 1e-9)


@EXAMPLES
@given(mixtures(), mixtures())
def test_product_is_pointwise(first, second):
    p, generator = first
    q, _ = second
    d = min(p.n_features, q.n_features)
    p, q = p.marginal(slice(d)), q.marginal(slice(d))
    product = p.product(q)
    X = product.sample(16, generator)[0]
    expected = p.log_prob(X) + q.log_prob(X) - p.log_inner(q)
    assert_allclose(product.log_prob(X), expected, rtol=1e-5, atol=1e-5)
