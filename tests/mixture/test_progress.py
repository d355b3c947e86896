"""When a long training has come to rest."""

from skgmje._training._schedule import Plateau


def test_plateau_waits_for_a_window_after_the_warmup():
    plateau = Plateau(100, tol=1e-3, warmup=0.5)
    answers = [plateau([1.0]) for _ in range(100)]
    assert answers.index(True) == 59


def test_plateau_needs_all_of_the_window_to_be_flat():
    plateau = Plateau(100, tol=0.1, warmup=0.0)
    assert not any(plateau([float(i % 2)]) for i in range(50))


def test_plateau_is_no_single_loss():
    plateau = Plateau(10, tol=1e-3, warmup=0.0)
    assert not any(plateau([1.0 / (1 + i)]) for i in range(10))
    assert not any(Plateau(3, tol=1e-3, warmup=0.0)([1.0]) for _ in range(3))
