"""Samples with measurement errors of known covariance: extreme deconvolution."""

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from skgmje._backend import LOG_2PI, from_tensor
from skgmje.em._missing import (
    CHUNK_ENTRIES,
    far_away,
    find_gaps,
    normalised,
    observed_moments,
    own_overflow,
    positive,
)
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._covariance_type import buffer, collapse
from skgmje.gaussian._density import make_kernel

# Beside samples as far away means are nothing.
FARTHEST = 1e100

# Clusters have such a share of the data's variance: errors as large halve the weight of
# a sample in a start.
NARROW = 0.01

# Shares below are what is left of those so far away that they have none.
LEAST_SHARE = 1e-300

# Products of numbers do not overflow whose logarithms add to less.
LOG10_LARGEST = 300

# Rounding of a singular covariance may leave it such negative eigenvalues, as a share
# of the largest, and such differences between its halves.
ROUNDING = 1e-6


def check_noise(noise, X, weight=None, block=""):
    """Return measurement errors as variances (n, d) or covariances (n, d, d)."""
    noise, (n_samples, d) = np.asarray(from_tensor(noise)), X.shape
    check_noise_type(noise)
    shapes = (n_samples, d), (n_samples, d, d)
    if noise.shape not in shapes:
        raise ValueError(
            f"noise has the shape {noise.shape}; it must hold variances of shape "
            f"{shapes[0]}, or covariances of shape {shapes[1]}, of each sample of X. "
            "For the same ones everywhere, use np.broadcast_to."
        )
    noise = clean_noise(noise, X)
    if weight is not None:
        # Samples that do not count may have any.
        noise[weight == 0] = 0.0
    full = noise.ndim == 3
    variances = np.diagonal(noise, axis1=1, axis2=2) if full else noise
    refuse = partial(_refuse, block)
    refuse(~np.isfinite(noise), noise, "Set X to NaN where nothing was measured.")
    refuse(variances < 0, variances, "Variances are not negative: check their signs.")
    if full:
        # Rows of zeros divide by one.
        scale = np.sqrt(np.where(variances > 0, variances, 1.0))
        ratios = noise / (scale[:, :, None] * scale[:, None])
        gap = np.abs(ratios - ratios.transpose(0, 2, 1)) > ROUNDING
        refuse(gap, noise, "Covariances are symmetric: add the transposes, and halve.")
        least = np.linalg.eigvalsh(ratios)[:, 0]
        remedy = "Its covariance has a negative eigenvalue: clip its eigenvalues at 0."
        refuse(least < -ROUNDING * d, least, remedy)
    return noise


def check_noise_type(noise):
    """Raise if an array holds no numbers."""
    if noise.dtype.kind not in "fiub":
        raise ValueError(
            f"noise has the type {noise.dtype}; it must hold real numbers. Convert its "
            "columns, as by noise.astype(float)."
        )


def check_noise_names(noise, names):
    """Raise if columns of noise have other names, or another order, than samples."""
    own, names = [*getattr(noise, "columns", ())], [*(() if names is None else names)]
    named = own and names and all(isinstance(name, str) for name in own + names)
    if named and own != names:
        raise ValueError(
            f"noise has the columns {own}, and X {names}. Give it the same ones in the "
            "same order, as by noise[X.columns]."
        )


def _refuse(block, wrong, values, remedy):
    """Raise if a value is wrong; name its sample and column."""
    if wrong.any():
        first = tuple(np.argwhere(wrong)[0].tolist())
        place = "".join(f", column {j}" for j in first[1:])
        raise ValueError(
            f"noise of sample {first[0]}{block}{place} is {values[first]:g}, one of "
            f"{int(wrong.sum())} such entries{block}. {remedy}"
        )


def clean_noise(noise, X):
    """Return a copy in double precision, zero where entries of `X` are missing."""
    noise, missing = noise.astype(np.float64, order="C"), np.isnan(X)
    if noise.ndim == 3:
        missing = missing[:, :, None] | missing[:, None]
    noise[missing] = 0.0
    return noise


def split_noise(joined, n_features):
    """Return samples and their noise, where its entries are further columns."""
    X, noise = joined[:, :n_features], joined[:, n_features:]
    if noise.shape[1] > n_features:
        noise = noise.reshape(len(noise), n_features, n_features)
    return X, noise


def unjoin(joined, sample_weight, n_features):
    """Return samples that have a value, their noise and their weights."""
    X, noise = split_noise(joined, n_features)
    known = ~np.isnan(X).all(axis=1)
    X, weight = X[known], None if sample_weight is None else sample_weight[known]
    return X, clean_noise(noise[known], X), weight


def precision_weights(X, sample_weight, noise):
    """Return weights of samples for a start, which errors would blur."""
    variances = noise if noise.ndim == 2 else np.diagonal(noise, axis1=1, axis2=2)
    spread = observed_moments(X, sample_weight)[1]
    share = (variances / np.where(spread > 0, spread, np.inf)).mean(axis=1)
    share = NARROW / (NARROW + share)
    return share if sample_weight is None else share * sample_weight


class NoisyPart(NamedTuple):
    """Samples with noise, side by side behind features and components.

    Of the covariance T of a sample under a component, the sum of its noise and the
    covariance S of the component, W' W is the inverse, and W (x - m) is white.
    """

    rows: Any
    joint: Any
    #: W (d, d, k, n), lower triangles, where k may be one; and white (d, k, n).
    whiten: Any
    white: Any
    #: S (k, d, d), the noise of patterns (d, d, p), and the pattern of each sample.
    matrices: Any
    noise: Any
    pattern: Any
    work: dict

    @property
    def held(self):
        """All of the samples count."""
        return np.ones(self.rows.shape)

    def pull(self):
        """Return the inverses of T times the differences from the means, (d, k, n)."""
        # The differences themselves are of no more use.
        pull = buffer(self.work, "diff", self.white.shape)
        for j, out in enumerate(pull):
            np.einsum("ckn,ckn->kn", self.whiten[j:, j], self.white[j:], out=out)
        return pull

    def moments(self, resp, reg_covar):
        """Return sums of what is expected less the means, and second moments."""
        # The expectation is S W' W (x - m), the covariance S - S W' W S. Shapes: share
        # (k, n) and pull (d, k, n); sums (k, d); inner and precision (k, d, d), sums of
        # pull pull' and of W' W over the samples.
        share, pull = resp, self.pull()
        weighted = np.multiply(pull, share, out=self.white)
        sums = weighted.sum(axis=2).T
        inner = weighted.transpose(1, 0, 2) @ pull.transpose(1, 2, 0)
        precision = np.zeros_like(inner)
        if self.whiten.shape[3] < share.shape[1]:
            share = share.sum(axis=1, keepdims=True)
        for j in range(len(pull)):
            row = self.whiten[j, : j + 1]
            shape = j + 1, *share.shape
            weighted = np.multiply(row, share, out=buffer(self.work, "product", shape))
            own = weighted.transpose(1, 0, 2) @ row.transpose(1, 2, 0)
            precision[:, : j + 1, : j + 1] += own
        S, counts = self.matrices, share.sum(axis=1)
        known, i = S @ precision, np.arange(len(pull))
        second = counts[:, None, None] * S + (S @ inner - known) @ S
        # Of what is uncertain S has it from the last step already.
        second[:, i, i] -= reg_covar * (counts[:, None] - known[:, i, i])
        return (S @ sums[:, :, None])[:, :, 0], second

    def far(self, kernel, kind, X, lost, temper):
        """Return log-densities and responsibilities of some samples, with care."""
        full, found = COVARIANCE_TYPES["full"], []
        for group in np.flatnonzero(lost):
            total = self.matrices + self.noise[:, :, self.pattern[group]]
            total = np.broadcast_to(total, (kernel.n_components, *total.shape[1:]))
            loops = full.loops(kernel.weights, kernel.means, total, kernel.center)
            found.append(far_away(loops, full, X[self.rows[[group]]], temper))
        return tuple(map(np.concatenate, zip(*found, strict=True)))

    def expected(self, means, resp, *, return_cov):
        """Return what is expected without noise (n, 1, d), and covariances behind."""
        S, share = self.matrices, resp
        each = means.T[:, :, None] + np.einsum("kij,jkn->ikn", S, self.pull())
        mean = np.einsum("ikn,kn->in", each, share)
        if not return_cov:
            return mean.T[:, None]
        lower = np.tri(len(S.T), dtype=bool)[:, :, None, None]
        maps = np.einsum("cikn,kij->cjkn", np.where(lower, self.whiten, 0.0), S)
        own = S.transpose(1, 2, 0)[..., None] - np.einsum("cikn,cjkn->ijkn", maps, maps)
        # What has no share may be so far away that squares overflow.
        each = (each - mean[:, None]) * np.sqrt(share)
        spread = np.einsum("ijkn,kn->nij", own, share)
        spread += np.einsum("ikn,jkn->nij", each, each)
        return np.concatenate([mean.T[:, None], spread], axis=1)


def noisy_parts(kernel, kind, X, gaps):
    """Yield one :class:`NoisyPart` after the other."""
    n_components, d = kernel.means.shape
    matrices = collapse(kind.dense(kernel.covariances, n_components, d), 2)
    step = max(1, CHUNK_ENTRIES // (n_components * d * d))
    for start in range(0, len(gaps.observed), step):
        observed = gaps.observed[start : start + step]
        noise = gaps.noise[..., start : start + step]
        noise = noise if noise.ndim == 3 else noise * np.eye(d)[:, :, None]
        whiten, log_det = _factorise(matrices, noise, observed, gaps.work)
        log_det += observed @ np.full(d, LOG_2PI)
        first, last = np.searchsorted(gaps.pattern, [start, start + len(observed)])
        for begin in range(first, last, step):
            some = slice(begin, min(begin + step, last))
            rows, pattern = gaps.rows[some, 0], gaps.pattern[some] - start
            own, own_log_det = whiten, log_det
            if 1 < len(observed) < last - first:
                # Samples share what has been factorised.
                own = whiten.take(pattern, axis=3)
                own_log_det = log_det.take(pattern, axis=1)
            white = _whitened(X.take(rows, axis=0), kernel.means, own, gaps.work)
            joint = np.einsum("ckn,ckn->kn", white, white)
            joint += own_log_det
            joint *= -0.5
            joint += kernel.log_weights[:, None]
            given = own, white, matrices, noise, pattern, gaps.work
            yield NoisyPart(rows, joint, *given)


def _whitened(X, means, whiten, work):
    """Return W (x - m) of samples and components, (d, k, n)."""
    x = np.ascontiguousarray(X.T, np.float64)
    x[np.isnan(x)] = 0.0
    shape = len(x), *means.shape[:1], len(X)
    diff, white = (buffer(work, name, shape) for name in ("diff", "white"))
    np.subtract(x[:, None], means.T[:, :, None], out=diff)
    for j, out in enumerate(white):
        np.einsum("ckn,ckn->kn", whiten[j, : j + 1], diff[: j + 1], out=out)
    return white


def _factorise(matrices, noise, observed, work):
    """Return W (d, d, k, p) of the sums T of all pairs, and log |T| (k, p)."""
    # With U' U = T, W is the inverse of U'. Row j of U is row j of what is left of T by
    # its root, and is taken off the rows i > j that are left; W begins as the identity
    # and loses as much: w_j = w_j / u_jj, then w_i -= u_ji w_j for all i > j. Right of
    # the diagonal of `found` stands -U, left of it W; on it W, too, in the end.
    d = observed.shape[1]
    shape = d, d, len(matrices), len(observed)
    found = buffer(work, "found", shape)
    product = buffer(work, "product", shape[1:])
    for i in range(d):
        np.add(matrices[:, i, i:].T[..., None], noise[i, i:, None], out=found[i, i:])
    seen = observed.T[:, None]
    if not seen.all():
        # What is missing stands alone, and then falls out.
        both = seen[:, None] & seen
        np.copyto(found, np.eye(d)[:, :, None, None], where=~both)
    for j in range(d):
        scale = found[j, j]
        np.sqrt(positive(scale), out=scale)
        np.divide(1.0, scale, out=scale)
        found[j, :j] *= scale
        row = found[j, j + 1 :]
        row *= -scale
        for i, factor in enumerate(row, j + 1):
            found[i, i:] -= np.multiply(found[j, i:], factor, out=product[: d - i])
            found[i, :j] += np.multiply(found[j, :j], factor, out=product[:j])
            np.multiply(scale, factor, out=found[i, j])
    i = np.arange(d)
    log_det = -2 * _sum_of_logs(found[i, i])
    if not seen.all():
        found[i, i] *= seen
    return found, log_det


def _sum_of_logs(values):
    """Return sums of logarithms over the first axis: of products, which are fewer."""
    ends = np.log10([values.min(), values.max()])
    size = max(1, int(LOG10_LARGEST / max(1.0, *np.abs(ends))))
    starts = range(0, len(values), size)
    return sum(np.log(values[i : i + size].prod(axis=0)) for i in starts)


@own_overflow
def _answers(mixture, X, noise, answer, *shape):
    """Return ``answer(part, log_norm, responsibilities)`` of samples, (n, *shape)."""
    kernel = make_kernel(mixture, mixture.weights)
    kind, out = COVARIANCE_TYPES[mixture.covariance_type], np.empty((len(X), *shape))
    for part in noisy_parts(kernel, kind, X, find_gaps(X, noise)):
        log_norm, resp = normalised(kernel, kind, X, part, 1.0)
        resp[resp < LEAST_SHARE] = 0.0
        out[part.rows] = answer(part, log_norm, resp)
    return out


def noisy_log_prob(mixture, X, noise):
    """Return the log-densities of samples with noise, (n,)."""
    return _answers(mixture, X, noise, lambda part, log_norm, resp: log_norm)


def noisy_responsibilities(mixture, X, noise):
    """Return the posterior weights of the components of samples with noise, (n, k)."""
    found = X, noise, lambda part, log_norm, resp: resp.T
    return _answers(mixture, *found, mixture.n_components)


@own_overflow
def denoise(mixture, X, noise, *, return_cov=False):
    """Return expectations of samples without noise (n, 1, d), then covariances."""

    def expected(part, log_norm, resp):
        return part.expected(mixture.means, resp, return_cov=return_cov)

    d = X.shape[1]
    # So far away expectations grow as the samples do, and squares overflow.
    size = np.fmax(np.fmax.reduce(np.abs(X), axis=1)[:, None] / FARTHEST, 1.0)
    out = _answers(mixture, X / size, noise, expected, 1 + return_cov * d, d)
    out[:, 0] *= size
    return out
