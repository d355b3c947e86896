"""Samples with missing entries: those with one pattern share their factorisations."""

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from skgmje._backend import LOG_2PI, is_torch, namespace, softmax
from skgmje.em._blocks import RowBlocks
from skgmje.gaussian._checks import patterns
from skgmje.gaussian._covariance import COVARIANCE_TYPES
from skgmje.gaussian._covariance_type import EXP_FLOOR, buffer, collapse
from skgmje.gaussian._passes import from_sums, log_prob, responsibilities

# Responsibilities need fewer digits than published densities, and beyond this
# limit the raw moments of a pass would lose the covariance's seventh digit.
PASS_LIMIT = 1e8

# Samples with independent features that are gone through at a time.
CHUNK_ROWS = 2048

# Entries of the matrices of patterns that are gone through at a time; of samples'
# differences from the means there are four times as many. Samples of a group.
CHUNK_ENTRIES = 2**18
WIDEST = 256

# Beyond, differences of log-densities have lost their digits.
FAR = 1e12

# Up to so many features, factorisations of patterns with a common beginning are shared.
MOST_SWEPT = 24


def row_mean(X, sample_weight=None):
    """Return the weighted mean of the observed entries, (n_features,), by blocks."""
    total, count = np.zeros((2, X.shape[1]))
    for start in range(0, len(X), 8192):
        rows = slice(start, start + 8192)
        block = np.asarray(X[rows], np.float64)
        weight = np.ones(len(block))
        if sample_weight is not None:
            weight = np.asarray(sample_weight[rows], np.float64)
        part = weight @ block
        if np.isfinite(part).all():
            total, count = total + part, count + weight.sum()
            continue
        observed = ~np.isnan(block)
        total += weight @ np.where(observed, block, 0.0)
        count += weight @ observed
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / count


def observed_moments(X, sample_weight=None):
    """Return weighted mean and variance of the observed entries, (n_features,) each."""
    if isinstance(X, RowBlocks):
        return X.overview.mean, X.overview.variance
    center = row_mean(X, sample_weight)
    return center, row_mean((X - center) ** 2, sample_weight)


def missing_moments(X, sample_weight=None):
    """Return what a start takes missing entries for, and None if none is missing."""
    blocks = isinstance(X, RowBlocks)
    missing = X.overview.has_missing if blocks else has_missing(X)
    return observed_moments(X, sample_weight) if missing else None


def _has(test, X):
    """Return whether an entry of an array or a tensor passes a test, by blocks."""
    # Each block of a tensor would wait for its device.
    step = max(1, len(X)) if is_torch(X) else 8192
    blocks = (X[start : start + step] for start in range(0, len(X), step))
    return any(bool(getattr(namespace(x), test)(x).any()) for x in blocks)


has_missing = partial(_has, "isnan")


def check_samples(X, name="X", *, missing=True):
    """Raise unless samples are a table of finite numbers, or of NaN if they may be."""
    if X.ndim != 2 or not X.shape[0]:
        raise ValueError(
            f"{name} has shape {tuple(X.shape)}; it must be (n_samples, n_features), "
            "with one sample or more."
        )
    if _has("isinf", X):
        raise ValueError(
            f"{name} has infinite entries; it must be finite. Drop or clip samples."
        )
    if not missing and has_missing(X):
        raise ValueError(
            f"{name} has missing values (NaN), which have no distances. Drop or impute "
            "such samples."
        )


class Gaps(NamedTuple):
    """Samples in groups of one pattern and of one size, padded by some not held."""

    observed: Any
    pattern: Any
    rows: Any
    held: Any
    work: dict
    # Of patterns, which come last: (d, p) or (d, d, p).
    noise: Any = None

    def tree(self, start, stop):
        """Return the :class:`Tree` of some patterns, which stays for later passes."""
        key = "tree", start, stop
        if key not in self.work:
            self.work[key] = grow(self.observed[start:stop])
        return self.work[key]


class Tree(NamedTuple):
    """Patterns as the leaves of a tree in which common beginnings are one branch."""

    #: Of the leaves, (p, d), and the leaf of each pattern.
    observed: Any
    place: Any
    #: Of each feature the parents of its nodes, and how many lack it: the first.
    levels: list


def grow(observed):
    """Return the :class:`Tree` of sorted patterns; of many features without levels."""
    levels, node = [], np.arange(len(observed))
    if observed.shape[1] <= MOST_SWEPT:
        node = np.zeros(len(observed), np.intp)
        for seen in observed.T:
            changes = np.diff(2 * node + seen, prepend=-1) != 0
            lacks, child = ~seen[changes], np.cumsum(changes) - 1
            order = np.argsort(~lacks, kind="stable")
            levels.append((node[changes][order], np.count_nonzero(lacks)))
            node = np.argsort(order)[child]
    return Tree(observed[np.argsort(node)], node, levels)


def find_gaps(X, noise=None):
    """Return the :class:`Gaps` of samples; with noise each sample is a group."""
    codes = np.packbits(np.isnan(X), axis=1)
    if noise is not None:
        codes = np.hstack([codes, noise.reshape(len(X), -1).view(np.uint8)])
    codes = np.ascontiguousarray(codes).view(f"V{codes.shape[1]}").ravel()
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    counts = np.bincount(inverse)
    width = min(WIDEST, -(-len(X) // (2 * len(counts))))
    if noise is not None:
        width, noise = 1, np.ascontiguousarray(np.moveaxis(noise[first], 0, -1))
    n_groups = -(-counts // width)
    order = np.argsort(inverse, kind="stable")
    # The place of a sample among all slots: its pattern's begin after whole groups.
    before = np.cumsum(n_groups) - n_groups
    shift = width * before - (np.cumsum(counts) - counts)
    slot = np.arange(len(X)) + np.repeat(shift, counts)
    pattern = np.repeat(np.arange(len(counts)), n_groups)
    rows = np.repeat(first[pattern], width)
    held = np.zeros(len(rows))
    rows[slot], held[slot] = order, 1.0
    rows, held = (part.reshape(-1, width) for part in (rows, held))
    return Gaps(~np.isnan(X[first]), pattern, rows, held, {}, noise)


# What overflows, samples far away, is found and computed again.
own_overflow = np.errstate(over="ignore", invalid="ignore")


@own_overflow
def missing_stats(kernel, kind, X, sample_weight, parts, temper=1.0, reg_covar=0.0):
    """Return the exact statistics of samples with missing entries, by their parts."""
    n_components, n_features = kernel.means.shape
    counts = np.zeros(n_components)
    sums = np.zeros((n_components, n_features))
    second, log_likelihood = 0.0, 0.0
    reg_covar = np.broadcast_to(np.asarray(reg_covar, np.float64), (n_features,))
    reg_covar = kernel.added(reg_covar)
    for part in parts:
        log_norm, resp = normalised(kernel, kind, X, part, temper)
        weight = part.held * sample_weight[part.rows]
        log_likelihood += float((log_norm * weight).sum())
        resp *= weight
        counts += resp.sum(axis=1)
        more, scatter = part.moments(resp, reg_covar)
        sums += more
        second = second + scatter
    totals = [counts, sums, *kernel.pack(second)]
    weight = float(sample_weight.sum(dtype=np.float64))
    return from_sums(kernel, totals, log_likelihood, weight)


def missing_log_prob(kernel, covariance_type, X):
    """Return log-densities of what is observed of samples, (n_samples,)."""
    kind, out = COVARIANCE_TYPES[covariance_type], np.empty(len(X))
    for part in missing_parts(kernel, kind, X):
        held = part.held > 0
        out[part.rows[held]] = normalised(kernel, kind, X, part, 1.0)[0][held]
    return out


class Conditionals(NamedTuple):
    """Densities of what samples lack given the rest: one Gaussian mixture for each."""

    rows: Any
    weights: Any
    # Of all features (n, k, d): those that are there have their values.
    means: Any
    # Those (p, k, d, d) of the patterns, of what is missing; 1 on other diagonals.
    covariances: Any
    pattern: Any


class Completed(NamedTuple):
    """Samples with what each component expects in place of missing entries."""

    rows: Any
    #: Of what is observed, (n, k), under the components.
    squares: Any
    # All features (n, k, d): those that are there have their values.
    means: Any
    pattern: Any
    #: Of patterns: what is missing (p, d), matrices that :func:`_sweep` describes
    #: (p, k, d, d), and log-determinants of what is observed (p, k).
    missing: Any
    swept: Any
    log_det: Any


def completed(mixture, X):
    """Yield :class:`Completed` of some samples at a time."""
    d, means = X.shape[1], np.asarray(mixture.means, np.float64)
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    matrices = np.asarray(kind.dense(mixture.covariances, *means.shape), np.float64)
    matrices = np.broadcast_to(matrices, (len(means), d, d))
    masks, inverse = np.unique(np.isnan(X), axis=0, return_inverse=True)
    order = np.argsort(inverse.ravel(), kind="stable")
    ranked = inverse.ravel()[order]
    factorise = _invert_each if kind.independent else _factorise_each
    step = max(1, 4 * CHUNK_ENTRIES // matrices.size)
    for begin in range(0, len(masks), step):
        missing = masks[begin : begin + step]
        swept, log_det = factorise(matrices, ~missing)
        first, last = np.searchsorted(ranked, [begin, begin + step])
        for start in range(first, last, step):
            rows = order[start : min(start + step, last)]
            pattern = inverse.ravel()[rows] - begin
            some = slice(pattern[0], pattern[-1] + 1)
            lacks = missing[pattern][:, None]
            diff = np.where(lacks, 0.0, X[rows][:, None] - means)
            known = (swept[pattern] @ diff[..., None])[..., 0]
            # Of observed features `known` is minus the precision times the difference.
            with np.errstate(over="ignore", invalid="ignore"):
                squares = -(diff * known).sum(axis=2)
            complete = np.where(lacks, means + known, X[rows][:, None])
            found = missing[some], swept[some], log_det[some]
            yield Completed(rows, squares, complete, pattern - some.start, *found)


def conditionals(mixture, X):
    """Yield :class:`Conditionals` of some samples in double precision at a time."""
    with np.errstate(divide="ignore"):
        log_weights = np.log(mixture.weights)
    for part in completed(mixture, X):
        both = (part.missing[:, :, None] & part.missing[:, None])[:, None]
        covariances = np.where(both, part.swept, np.eye(X.shape[1]))
        with np.errstate(over="ignore", invalid="ignore"):
            joint = log_weights - 0.5 * (part.squares + part.log_det[part.pattern])
            weights = softmax(joint, axis=1)
        far = ~(joint.max(axis=1) > -FAR)
        if far.any():
            samples = X[part.rows[far]]
            weights[far] = mixture.responsibilities(samples, missing="marginal")
        yield Conditionals(part.rows, weights, part.means, covariances, part.pattern)


def expected_stats(kernel, mixture, X, pulled, resp, reg_covar):
    """Return statistics by shares (K, n) of samples, and of what they lack."""
    second = np.zeros((*kernel.means.shape, X.shape[1]))
    sums = np.zeros_like(kernel.means)
    for part in completed(mixture, X):
        diff = (part.means - kernel.means).transpose(1, 0, 2)
        weighted = diff * pulled[:, part.rows, None]
        sums += weighted.sum(axis=1)
        second += weighted.transpose(0, 2, 1) @ diff
        share = _by_pattern(resp[:, part.rows].T, part.pattern)
        swept = part.swept.transpose(2, 3, 0, 1)
        second += _spread(share, swept, ~part.missing, kernel.added(reg_covar))
    counts = pulled.sum(axis=1)
    totals = [counts, sums, *kernel.pack(second)]
    return from_sums(kernel, totals, 0.0, float(counts.sum()))


def fill(mixture, X, answer):
    """Return samples whose missing entries are ``answer(conditionals, rows)``."""
    out, holes = X.copy(), np.isnan(X)
    some = np.flatnonzero(holes.any(axis=1))
    with np.errstate(over="ignore", invalid="ignore"):
        for part in conditionals(mixture, X[some].astype(np.float64, copy=False)):
            rows = some[part.rows]
            out[rows] = np.where(holes[rows], answer(part, rows), X[rows])
    return all_finite(out)


def all_finite(filled):
    """Return samples that have been filled in, or raise if numbers overflow."""
    lost = ~np.isfinite(filled).all(axis=1)
    if lost.any():
        raise ValueError(
            f"What sample {lost.argmax()} of X lacks is too large for a number of type "
            f"{filled.dtype}, as others of its entries nearly are. Rescale X, or leave "
            "the sample out."
        )
    return filled


def expectation(part, rows=None):
    """Return expected samples, as an answer to fill in."""
    return (part.weights[:, None] @ part.means)[:, 0]


class _Part(NamedTuple):
    """Samples, their joint densities (k, n), and a function of responsibilities."""

    rows: Any
    held: Any
    joint: Any
    # ``moments(responsibilities, reg_covar)``, where the first are (k, n): sums (k, d)
    # of expected samples less the means, and second moments (k, d, d), or one matrix of
    # all components.
    moments: Any

    def far(self, kernel, kind, X, lost, temper):
        """Return log-densities and responsibilities of some samples, with care."""
        return far_away(kernel, kind, X[self.rows[lost]], temper)


def normalised(kernel, kind, X, part, temper):
    """Return log-densities (n,) and responsibilities (k, n) of samples."""
    joint = part.joint
    if temper != 1.0:
        # Samples without any value belong to the components by their weights.
        some = ~np.isnan(X).all(axis=1)
        joint *= np.where(some, temper, 1.0)[part.rows]
    top = joint.max(axis=0)
    joint -= top
    np.maximum(joint, EXP_FLOOR, out=joint)
    resp = np.exp(joint, out=joint)
    if kernel.weightless is not None:
        resp[kernel.weightless] = 0.0
    total = resp.sum(axis=0)
    resp /= total
    log_norm = top + np.log(total)
    lost = ~np.isfinite(log_norm)
    if lost.any():
        # So far away that densities underflow.
        log_norm[lost], found = part.far(kernel, kind, X, lost, temper)
        resp[:, lost] = found.T
    return log_norm, resp


def far_away(kernel, kind, X, temper):
    """Return log-densities and responsibilities by careful loops for each pattern."""
    log_norm, resp = np.empty(len(X)), np.empty((len(X), kernel.n_components))
    for rows, observed in patterns(X):
        seen = np.flatnonzero(observed)
        marginal = kind.loops(
            kernel.weights,
            kernel.means[:, seen],
            kind.marginal(kernel.covariances, seen),
            kernel.center[seen],
        )
        values = X[np.ix_(rows, seen)]
        log_norm[rows] = log_prob(marginal, values)
        resp[rows] = responsibilities(marginal, values, temper)
    return log_norm, resp


def _are_near(means, matrices):
    """Return whether squares about zero keep their digits; not if collinear."""
    try:
        precisions = np.linalg.inv(matrices)
    except np.linalg.LinAlgError:
        return False
    squares = means**2 * np.diagonal(precisions, axis1=1, axis2=2)
    return np.abs(squares).sum(axis=1).max() <= PASS_LIMIT


def missing_parts(kernel, kind, X, gaps=None):
    """Yield one :class:`_Part` after the other, by what the covariances allow."""
    means, (n_components, d) = kernel.means - kernel.center, kernel.means.shape
    if kind.independent:
        variances = kind.diagonal(kernel.covariances, n_components, d)
        if (means**2 / variances).sum(axis=1).max() <= PASS_LIMIT:
            yield from _independent_parts(kernel, means, variances, X)
            return
    matrices = collapse(kind.dense(kernel.covariances, n_components, d), 2)
    if _are_near(means, matrices):
        shared, origins = len(matrices) < n_components, [(slice(None), kernel.center)]
    else:
        # Each component has its own origin, so that no squares are expanded.
        shared, means = False, np.zeros_like(means)
        origins = [(slice(k, k + 1), mean) for k, mean in enumerate(kernel.means)]
    expect = _expect_shared if shared else partial(_expect, origins)
    augmented = np.zeros((1 if shared else n_components, d + 1, d + 1))
    augmented[:, :d, :d] = matrices
    if not shared:
        augmented[:, d, :d] = augmented[:, :d, d] = means
    gaps = find_gaps(X) if gaps is None else gaps
    step, width = max(1, CHUNK_ENTRIES // augmented.size), gaps.rows.shape[1]
    most = max(1, 4 * CHUNK_ENTRIES // (width * means.size))
    for start in range(0, len(gaps.observed), step):
        tree = gaps.tree(start, start + step)
        swept, log_det = _factorise(augmented, tree, gaps.work)
        swept[d, d] -= log_det + LOG_2PI * tree.observed.sum(axis=1)[:, None]
        first, last = np.searchsorted(gaps.pattern, [start, start + step])
        for begin in range(first, last, most):
            some = slice(begin, min(begin + most, last))
            rows, pattern = gaps.rows[some], gaps.pattern[some] - start
            found = expect(kernel, means, X, rows, pattern, tree, swept, gaps.work)
            yield _Part(rows.ravel(), gaps.held[some].ravel(), *found)


def _expect(origins, kernel, means, X, rows, pattern, tree, swept, work):
    """Return joint densities of samples, and the function of their moments."""
    # Of a sample x and a one behind it, zero where x has no value, the products with
    # the swept matrices are what is expected of missing values, and with x again minus
    # the square of its distance, less the log-determinant.
    n_components, d = means.shape
    shape, n_groups = (d + 1, n_components, rows.size), len(rows)
    known, joint = buffer(work, "known", shape), buffer(work, "joint", shape[1:])
    maps = np.ascontiguousarray(swept.transpose(0, 2, 1, 3))
    maps = maps.take(tree.place[pattern], axis=1)
    for some, origin in origins:
        x = np.ones((d + 1, rows.size))
        np.subtract(X[rows.ravel()].T, origin[:, None], out=x[:d])
        seen = ~np.isnan(x)
        x[~seen] = 0.0
        own = known[:, some]
        np.matmul(
            maps[..., some].reshape(d + 1, n_groups, -1).transpose(1, 2, 0),
            x.reshape(d + 1, n_groups, -1).transpose(1, 0, 2),
            out=own.reshape(-1, *rows.shape).transpose(1, 0, 2),
        )
        np.einsum("in,ikn->kn", x, own, out=joint[some])
        np.copyto(own[:d], x[:d, None], where=seen[:d, None])
        own[:d] -= means[some].T[:, :, None]
    joint *= 0.5
    joint += kernel.log_weights[:, None]

    def moments(resp, reg_covar):
        complete = known[:d]
        weighted = buffer(work, "weighted", complete.shape)
        np.multiply(complete, resp, out=weighted)
        second = weighted.transpose(1, 0, 2) @ complete.transpose(1, 2, 0)
        share = _by_leaf(resp, rows, pattern, tree)
        second += _spread(share, swept[:d, :d], tree.observed, reg_covar)
        return weighted.sum(axis=2).T, second

    return joint, moments


def _expect_shared(kernel, means, X, rows, pattern, tree, swept, work):
    """Return what :func:`_expect` does, of one covariance for all components."""
    # What is expected is linear in a sample and in the means, by the same map for all.
    (n_components, d), leaf = means.shape, tree.place[pattern]
    own = np.ascontiguousarray(swept[:d, :d, :, 0].transpose(2, 0, 1))
    observed, seen = tree.observed, tree.observed[leaf][:, None]
    known = np.where(observed[:, None], own, 0.0)
    inner = np.where(observed[:, :, None], known, 0.0).reshape(len(own), -1)
    products = (means[:, :, None] * means[:, None]).reshape(n_components, -1)
    log_norm = products @ inner.T + swept[d, d, :, 0]
    log_norm = kernel.log_weights[:, None] + 0.5 * log_norm
    maps = np.where(observed[:, :, None], np.eye(d), known)
    own = own[leaf]
    x = np.where(seen, X[rows] - kernel.center, 0.0)
    known = x @ own
    complete = np.where(seen, x, known)
    joint = buffer(work, "joint", (n_components, rows.size))
    np.matmul(means, np.where(seen, -known, 0.0).reshape(-1, d).T, out=joint)
    joint += log_norm.take(np.repeat(leaf, rows.shape[1]), axis=1)
    joint += 0.5 * (x * known).sum(axis=2).ravel()

    def moments(resp, reg_covar):
        about = np.where(seen, (resp.T @ means).reshape(complete.shape), 0.0)
        about = np.where(seen, about, about @ own).reshape(-1, d)
        flat, total = complete.reshape(-1, d), resp.sum(axis=0)[:, None]
        lost = flat.T @ about
        second = (flat * total).T @ flat - lost - lost.T
        share = _by_leaf(resp, rows, pattern, tree)
        offsets = means @ maps.transpose(0, 2, 1)
        moved = share[:, :, None] * offsets
        second += moved.reshape(-1, d).T @ offsets.reshape(-1, d)
        total = share.sum(axis=1)[:, None]
        second = second + _spread(total, swept[:d, :d], observed, reg_covar)
        return resp @ flat - moved.sum(axis=0), second

    return joint, moments


def _by_leaf(resp, rows, pattern, tree):
    """Return the sums of responsibilities of samples in groups, of each leaf (p, k)."""
    out = np.zeros((len(tree.place), len(resp)))
    some = tree.place[pattern[0] : pattern[-1] + 1]
    # A product: sums over so few numbers are slow.
    values = resp.reshape(-1, rows.shape[1]) @ np.ones(rows.shape[1])
    values = values.reshape(len(resp), -1).T
    out[some] = _by_pattern(values, pattern - pattern[0])
    return out


def _by_pattern(values, pattern):
    """Return the sums of the values of groups, for each pattern."""
    first = np.searchsorted(pattern, np.arange(pattern[-1] + 1))
    return np.add.reduceat(values, first, axis=0)


def _spread(share, swept, observed, reg_covar):
    """Return what the patterns leave uncertain, as often as they are found."""
    missing = (~observed).T.astype(np.float64)
    both = (missing[:, None] * missing)[:, :, None]
    second = (both @ (swept * share))[:, :, 0].transpose(2, 0, 1)
    i = np.arange(len(reg_covar))
    second[:, i, i] -= (missing @ share).T * reg_covar
    return second


def _independent_parts(kernel, means, variances, X):
    """Yield the parts where features are independent: patterns play no role."""
    precisions = 1 / variances
    log_norm = means**2 * precisions + np.log(variances) + LOG_2PI
    theta = np.hstack([-0.5 * precisions, means * precisions, -0.5 * log_norm])
    for start in range(0, len(X), CHUNK_ROWS):
        values = X[start : start + CHUNK_ROWS] - kernel.center
        seen = ~np.isnan(values)
        values = np.where(seen, values, 0.0)
        features = np.hstack([values**2, values, seen])
        rows = np.arange(start, start + len(values))
        moments = partial(_independent_moments, features, means, variances)
        joint = theta @ features.T + kernel.log_weights[:, None]
        yield _Part(rows, np.ones(len(rows)), joint, moments)


def _independent_moments(features, means, variances, resp, reg_covar):
    """Return the moments of a part whose features are independent."""
    squares, sums, counts = np.split(resp @ features, 3, axis=1)
    unseen = resp.sum(axis=1)[:, None] - counts
    diagonal = squares - 2 * means * sums + means**2 * counts
    diagonal += unseen * (variances - reg_covar)
    second = diagonal[:, :, None] * np.eye(means.shape[1])
    return sums - means * counts, second


def _factorise(matrices, tree, work):
    """Return what :func:`_sweep` does, as is quick for so many features."""
    return (_sweep if tree.levels else _invert)(matrices, tree, work)


def _factorise_each(matrices, observed):
    """Return what :func:`_sweep` does, patterns first and in their order."""
    tree = grow(observed)
    swept, log_det = _factorise(matrices, tree, {})
    return swept.transpose(2, 3, 0, 1)[tree.place], log_det[tree.place]


def _invert_each(matrices, observed):
    """Return what :func:`_factorise_each` does, of diagonal matrices."""
    variances, seen = np.diagonal(matrices, axis1=1, axis2=2), observed[:, None]
    swept = np.where(seen, -1 / variances, variances)[..., None] * np.eye(len(seen.T))
    return swept, np.where(seen, np.log(variances), 0.0).sum(axis=2)


def _sweep(matrices, tree, work):
    """Return matrices (m, m, p, k) swept on what is observed, and log-determinants."""
    # They are minus inverses where both features are observed, coefficients of
    # regression where one is, and conditional covariances where none is. Behind the
    # features may be what is never observed.
    swept = matrices.transpose(1, 2, 0)[:, :, None]
    log_det = np.zeros((1, len(matrices)))
    for j, (parent, n_lacking) in enumerate(tree.levels):
        shape = *matrices.shape[1:], len(parent), len(matrices)
        out = buffer(work, f"swept {j % 2}", shape)
        swept, log_det = np.take(swept, parent, 2, out, "clip"), log_det[parent]
        own = swept[:, :, n_lacking:]
        pivot = positive(own[j, j]).copy()
        log_det[n_lacking:] += np.log(pivot)
        column = own[:, j] / pivot
        product = buffer(work, "product", own.shape)
        own -= np.multiply(column[:, None], own[j], out=product)
        own[:, j] = own[j] = column
        own[j, j] = -1 / pivot
    return swept, log_det


def positive(pivot):
    """Return pivots, or raise ValueError if one is not positive."""
    lowest = pivot.min(initial=np.inf)
    if not lowest > 0:
        raise ValueError(
            f"covariances has a conditional variance of {lowest:g}; it must be "
            "positive. Increase reg_covar, or remove duplicated features."
        )
    return pivot


def _invert(matrices, tree, work):
    """Return what :func:`_sweep` does, by LAPACK: for many features."""
    d, seen = tree.observed.shape[1], tree.observed[:, None, :, None]
    across = seen.transpose(0, 1, 3, 2)
    both = seen & across
    padded = np.where(both, matrices[:, :d, :d], np.eye(d))
    lower = np.linalg.cholesky(padded)
    log_det = 2 * np.log(np.diagonal(lower, axis1=2, axis2=3)).sum(axis=2)
    inverse = np.where(both, np.linalg.inv(padded), 0.0)
    gain = inverse @ matrices[:, :d]
    swept = matrices - matrices[:, :, :d] @ gain
    np.copyto(swept[:, :, :d], gain, where=seen)
    np.copyto(swept[..., :d], gain.transpose(0, 1, 3, 2), where=across)
    np.copyto(swept[..., :d, :d], -inverse, where=both)
    return swept.transpose(2, 3, 0, 1), log_det
