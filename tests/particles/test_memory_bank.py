"""Laws of the memory bank, and streams that it follows."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skgmje.em import kernel_bandwidth
from skgmje.particles import BankState, bank_mixture, start_bank, step_bank

FIFO = {"rate": 0.0, "replacement": "oldest"}


def _uneven(rng, n_particles=40, n_features=2):
    particles = rng.normal(size=(n_particles, n_features))
    weights = rng.dirichlet(np.ones(n_particles))
    return BankState(particles, weights, rng.integers(9, size=n_particles))


def _check(state, n_particles):
    weights = np.asarray(state.weights)
    assert state.particles.shape[0] == state.ages.shape[0] == n_particles
    assert weights.shape == (n_particles,)
    assert (weights > 0).all()
    assert weights.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("replacement", ["lowest-weight", "oldest", None])
def test_a_step_keeps_the_shapes_and_the_old_state(replacement, rng):
    state, batch = _uneven(rng), rng.normal(3.0, 1.0, size=(11, 2))
    copies = [array.copy() for array in state]
    for _ in range(5):
        new, _ = step_bank(
            state,
            batch,
            0.3,
            rate=0.8,
            replacement=replacement,
            max_age=20,
            random_state=0,
        )
        _check(new, 40)
    for array, copy in zip(state, copies, strict=True):
        assert_array_equal(array, copy)


@pytest.mark.parametrize("bandwidth", [0.3, np.array([[0.5, 0.0], [0.2, 0.3]])])
def test_both_libraries_take_the_same_step(bandwidth, rng):
    state, batch = _uneven(rng), rng.normal(1.0, 1.0, size=(11, 2))
    tensors = BankState(*map(torch.asarray, state))
    for seed in range(4):
        state, info = step_bank(state, batch, bandwidth, rate=0.9, random_state=seed)
        tensors, told = step_bank(
            tensors, torch.asarray(batch), bandwidth, rate=0.9, random_state=seed
        )
        assert_allclose(told, info)
        for array, tensor in zip(state, tensors, strict=True):
            assert torch.is_tensor(tensor)
            assert_allclose(tensor.numpy(), array)


def test_single_precision_is_kept(rng):
    state = BankState(*(torch.asarray(array) for array in _uneven(rng)))
    state = state._replace(
        particles=state.particles.float(), weights=state.weights.float()
    )
    batch = torch.asarray(rng.normal(size=(5, 2)), dtype=torch.float32)
    state, _ = step_bank(state, batch, 0.3, ess_threshold=1.0, random_state=0)
    assert state.particles.dtype == state.weights.dtype == torch.float32


@pytest.mark.parametrize("rate", [0.05, 0.5, 1.0])
def test_the_likelihood_of_a_batch_never_falls(rate, rng):
    state, batch = _uneven(rng), rng.normal(0.5, 0.8, size=(30, 2))
    found = []
    for _ in range(100):
        state, info = step_bank(
            state, batch, 0.3, rate=rate, replacement=None, ess_threshold=0.0
        )
        found.append(info.log_likelihood)
    assert np.diff(found).min() > -1e-7
    assert found[-1] > found[0] + 0.1


def test_full_rate_is_the_em_step_of_the_proportions(rng):
    state, batch = _uneven(rng), rng.normal(size=(30, 2))
    resp = bank_mixture(state, 0.4).responsibilities(batch)
    new, info = step_bank(state, batch, 0.4, rate=1.0, replacement=None)
    squares = ((batch[:, None] - state.particles) ** 2).sum(axis=2)
    assert info.stretch == pytest.approx((resp * squares).sum() / (30 * 2 * 0.4**2))
    if not info.resampled:
        assert_allclose(new.weights, resp.mean(axis=0), atol=1e-8)


def test_without_a_rate_it_is_a_queue(rng):
    rows = rng.normal(size=(1000, 3))
    state = start_bank(rows[:20])
    for start in range(20, 1000, 7):
        state, info = step_bank(state, rows[start : start + 7], 0.5, **FIFO)
        assert not info.resampled
        assert_allclose(state.weights, 1 / 20)
        assert_array_equal(state.particles, rows[: start + 7][-20:])


def test_a_batch_larger_than_the_bank_fills_it(rng):
    rows = rng.normal(size=(50, 2))
    state, _ = step_bank(_uneven(rng), rows, 0.5, random_state=0)
    assert_array_equal(state.particles, rows[-40:])


def test_order_of_the_particles_does_not_matter(rng):
    state, batch = _uneven(rng), rng.normal(size=(30, 2))
    order = rng.permutation(40)
    shuffled = BankState(*(array[order] for array in state))
    options = {"rate": 0.5, "ess_threshold": 0.0}
    first, _ = step_bank(state, batch, 0.5, **options)
    second, _ = step_bank(shuffled, batch, 0.5, **options)
    assert_allclose(
        bank_mixture(first, 0.5).log_prob(batch),
        bank_mixture(second, 0.5).log_prob(batch),
    )


def test_resampling_keeps_the_density_and_one_copy_in_place(rng):
    particles = rng.normal(size=(2000, 2))
    weights = rng.dirichlet(np.full(2000, 0.3))
    state = BankState(particles, weights, np.zeros(2000, int))
    new, info = step_bank(
        state, particles[:5], 0.2, rate=0.0, replacement=None, random_state=0
    )
    assert info.resampled
    assert_allclose(new.weights, 1 / 2000)
    assert len(np.unique(new.particles, axis=0)) == 2000
    moved = ~(new.particles[:, None, 0] == particles[:, 0]).any(axis=1)
    assert 0.2 < moved.mean() < 0.9
    before, after = (bank_mixture(s, 0.2).log_prob(particles) for s in (state, new))
    assert np.abs(after - before).mean() < 0.15


def test_what_is_too_old_gives_way(rng):
    state = start_bank(rng.normal(size=(30, 2)))
    for _ in range(8):
        batch = rng.normal(size=(6, 2))
        state, _ = step_bank(state, batch, 1.0, max_age=4, ess_threshold=0.0)
    stale = state.ages > 4
    assert state.weights[stale].sum() < 1e-6
    assert state.ages.max() < 6


def test_far_rows_do_no_harm(xp):
    state = start_bank(xp.asarray(np.zeros((5, 2))))
    batch = xp.asarray(np.full((3, 2), 1e8))
    state, info = step_bank(state, batch, 0.1, rate=0.5, random_state=0)
    _check(state, 5)
    assert np.isfinite(info.log_likelihood)


def test_a_rare_mode_gets_its_share(rng):
    state, shares = start_bank(rng.normal(size=(256, 2)) - 3), []
    for step in range(200):
        mode = np.where(rng.random(64) < 0.1, 3.0, -3.0)
        batch = rng.normal(size=(64, 2)) + mode[:, None]
        state, _ = step_bank(state, batch, 0.4, rate=0.2, random_state=rng)
        if step >= 50:
            shares.append(state.weights[state.particles[:, 0] > 0].sum())
    assert np.mean(shares) == pytest.approx(0.1, abs=0.02)


def _follow(batches, bandwidth, random_state=None, **options):
    """Return the log-density of each batch before its step, and resamplings."""
    state, scores, n_resampled = start_bank(batches[0]), [], 0
    for batch in batches[1:]:
        state, info = step_bank(
            state, batch, bandwidth, random_state=random_state, **options
        )
        scores.append(info.log_likelihood)
        n_resampled += info.resampled
    return np.mean(scores), n_resampled


def test_a_drifting_stream_is_followed_better_than_by_a_queue():
    rng = np.random.default_rng(0)
    angles = np.repeat(np.linspace(0, 4 * np.pi, 300), 30)
    path = 3 * np.column_stack([np.cos(angles), np.sin(angles)])
    rows = path + 0.3 * rng.normal(size=path.shape)
    batches = [rows[:300], *np.split(rows[300:], len(rows[300:]) // 30)]
    queue, never = _follow(batches, 0.25, **FIFO)
    bank, often = _follow(batches, 0.25, rng, rate=0.5)
    assert never == 0
    assert often > 20
    assert bank > queue + 0.1


def test_kernel_bandwidth_maximises_the_left_out_likelihood(rng):
    X = rng.normal(size=(150, 2))

    def score(bandwidth):
        return np.mean(
            [
                bank_mixture(start_bank(np.delete(X, i, axis=0)), bandwidth).log_prob(
                    X[i : i + 1]
                )
                for i in range(len(X))
            ]
        )

    best = kernel_bandwidth(X)
    assert score(best) > max(score(0.95 * best), score(1.05 * best))


def test_kernel_bandwidth_predicts_other_rows(rng):
    X, particles = rng.normal(size=(300, 2)), rng.normal(size=(100, 2))
    weights = rng.dirichlet(np.ones(100))
    state = BankState(particles, weights, None)
    best = kernel_bandwidth(X, particles, weights)
    score = [bank_mixture(state, f * best).log_prob(X).mean() for f in (0.95, 1, 1.05)]
    assert np.argmax(score) == 1


@pytest.mark.parametrize("rows", [np.zeros((5, 2)), np.zeros((1, 1)), [[0.0], [1e9]]])
def test_kernel_bandwidth_of_ugly_rows_is_positive(rows):
    assert 0 < kernel_bandwidth(np.asarray(rows)) < np.inf


def test_copies_of_a_row_do_not_make_points(rng):
    X = np.repeat(rng.normal(size=(100, 2)), 5, axis=0)
    assert kernel_bandwidth(X) == pytest.approx(kernel_bandwidth(X[::5]), rel=0.1)


def test_a_replacement_that_is_none_is_named():
    state = start_bank(np.zeros((2, 1)))
    with pytest.raises(ValueError, match="replacement='newest' must be one of"):
        step_bank(state, np.ones((1, 1)), 0.5, replacement="newest")
