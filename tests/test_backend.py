"""The array helpers that choose a library's routine."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from skgmje._backend import cholesky, to_numpy


def positive_definite(d):
    A = np.random.default_rng(0).normal(size=(d, d))
    return A @ A.T + np.eye(d)


@pytest.mark.parametrize("d", [1, 3, 200])
@pytest.mark.parametrize("asarray", [np.asarray, torch.asarray])
def test_cholesky_of_one_matrix_is_that_of_several(asarray, d):
    matrix = asarray(positive_definite(d))
    factor = cholesky(matrix, "R")
    assert type(factor) is type(matrix)
    assert_allclose(factor, cholesky(matrix[None], "R")[0], atol=1e-12)
    assert_allclose(matrix, positive_definite(d))
    assert_allclose(cholesky(matrix, "R", overwrite=True), factor)


def test_cholesky_records_its_steps_where_they_are_asked_for():
    matrix = torch.tensor(positive_definite(3), requires_grad=True)
    assert torch.autograd.gradcheck(lambda A: cholesky(A + A.T, "R"), (matrix,))


@pytest.mark.parametrize("entry", [(0, 0), (3, 1), (3, 3)])
@pytest.mark.parametrize("value", [np.nan, -1e3])
@pytest.mark.parametrize("asarray", [np.asarray, torch.asarray])
def test_cholesky_refuses_what_has_none(asarray, value, entry):
    matrix = positive_definite(4)
    matrix[entry] = matrix[entry[::-1]] = value
    with pytest.raises(ValueError, match=r"R of shape .* not positive definite"):
        cholesky(asarray(matrix), "R")


def test_cholesky_keeps_single_precision():
    single = cholesky(positive_definite(5).astype(np.float32), "R")
    assert single.dtype == np.float32
    assert_allclose(single, to_numpy(cholesky(positive_definite(5), "R")), rtol=1e-4)
