"""Checks of parameters, samples and sample weights, in memory or held by an engine."""

import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from datetime import date, time, timedelta
from functools import partial
from numbers import Integral, Real

import numpy as np
from sklearn.utils.validation import check_array, validate_data

from skgmje._backend import FLOATS, from_tensor
from skgmje._sklearn import (
    StrOptions,
    _check_sample_weight,
    _name_estimators,
    _safe_indexing,
)
from skgmje._warnings import warn
from skgmje.em import RowBlocks
from skgmje.gaussian import COVARIANCE_TYPES
from skgmje.gaussian._checks import check_indices

# Squares of larger numbers, summed over the rows, overflow.
LARGEST = 1e150

# Columns that an error names.
_MOST_NAMED = 5

# Above this share of repeated values a likelihood says little.
TIE_SHARE = 0.05


class TypeOptions(StrOptions):
    """The covariance types known when a value is checked, and 'auto' if it is free."""

    def __init__(self, offers=lambda kind: True, *, is_free=True):
        self.offers = offers
        self.words = {"auto"} if is_free else set()
        super().__init__({"auto"})

    @property
    def options(self):
        """Names of the types that are offered."""
        kinds = COVARIANCE_TYPES.items()
        return self.words | {name for name, kind in kinds if self.offers(kind)}

    @options.setter
    def options(self, value):
        """Ignore the options that the base class sets."""


class ListOf(StrOptions):
    """Lists of one or more names that other constraints allow."""

    def __init__(self, *constraints):
        super().__init__(set())
        self.constraints = constraints

    def is_satisfied_by(self, val):
        """Return whether a value is a list of one or more names."""
        known = isinstance(val, list | tuple) and len(val) > 0
        return known and all(
            any(constraint.is_satisfied_by(name) for constraint in self.constraints)
            for name in val
        )

    def __str__(self):
        return "a list of such names"


def as_blocks(X, sample_weight=None):
    """Return samples that an engine holds as :class:`RowBlocks`, None for others."""
    if isinstance(X, RowBlocks):
        if sample_weight is not None:
            raise ValueError(
                f"sample_weight cannot be given beside {type(X).__name__}, whose "
                "blocks have weights. Put it into them."
            )
        return X
    if not is_lazy(X):
        return None
    from skgmje._dask import DaskRows

    return DaskRows(X, sample_weight)


def is_lazy(X):
    """Return whether samples are a Dask collection, without importing Dask."""
    return hasattr(X, "__dask_graph__")


def refuse_blocks(estimator, X):
    """Raise TypeError for samples that an engine holds: memory may be too small."""
    if hasattr(X, "collect") and not hasattr(X, "shape"):
        raise TypeError(
            f"{type(estimator).__name__} takes no {type(X).__name__}, but samples in "
            "memory: call X.collect() if they fit."
        )
    if is_lazy(X) or isinstance(X, RowBlocks):
        raise TypeError(
            f"{type(estimator).__name__} takes no {type(X).__name__} here, but arrays "
            "in memory: call X.compute() if the samples fit. GaussianMixture, "
            "KernelMixtureDensity and GrowingNeuralGasMixture fit and score Dask "
            "collections as they are."
        )


def check_blocks(estimator, blocks, *, allow_nan=False, min_samples=2):
    """Look at all blocks once, and raise if they cannot be learned from."""
    validate_data(estimator, blocks.header, reset=True, skip_check_array=True)
    overview = blocks.overview
    if blocks.shape[0] < min_samples:
        raise ValueError(
            f"Found X with {blocks.shape[0]} sample(s) of positive weight while a "
            f"minimum of {min_samples} is required by {type(estimator).__name__}."
        )
    if overview.has_missing and not allow_nan:
        raise ValueError(
            f"Input X contains NaN, and {type(estimator).__name__} does not take it "
            "as missing. Drop such samples, for example by X.dropna()."
        )
    ends = np.stack([overview.smallest, overview.largest])
    ends = np.where(overview.weight > 0, ends, np.nan)
    check_magnitude(ends)
    single = overview.has_missing & (overview.weight == 1)
    check_values(estimator, ends, blocks.shape[0], single)
    return blocks


def check_values(estimator, X, n_samples=None, single=None):
    """Raise if a feature has no value: nothing can be learned of it."""
    low, high = np.fmin.reduce(X, axis=0), np.fmax.reduce(X, axis=0)
    n_samples = len(X) if n_samples is None else n_samples
    empty = np.isnan(high)
    if empty.any():
        only = "only missing entries (NaN), " if empty.all() else ""
        raise ValueError(
            f"X has {only}no value in {name_columns(estimator, empty)}: all "
            f"{n_samples} samples that count are NaN there, and nothing can be learned "
            "of it. Drop such a column, or give samples that have a value and a "
            "positive weight."
        )
    if single is None:
        single = low == high
        single[single] = (~np.isnan(X[:, single])).sum(axis=0) == 1
    if single.any() and n_samples > 1:
        others = f"{n_samples - 1} sample{'s' * (n_samples > 2)}"
        warn(
            f"X has a single value in {name_columns(estimator, single)}, and "
            f"{others} without: it tells nothing of a spread, and the density there is "
            "as narrow as reg_covar. Drop such a column, or give more values.",
        )


def name_columns(estimator, chosen):
    """Return the names of columns, or their numbers if they have none."""
    names = getattr(estimator, "feature_names_in_", None)
    counted = " (counted from 0)" if names is None else ""
    plural = "s" if np.sum(chosen) > 1 else ""
    return f"column{plural} {_listed(chosen, names)}{counted}"


def _listed(chosen, names=None, shares=None):
    """Return the first of what is chosen as words, and how many more there are."""
    chosen = np.flatnonzero(chosen)
    words = [str(j) if names is None else repr(names[j]) for j in chosen[:_MOST_NAMED]]
    if shares is not None:
        words = [f"{w} ({shares[j]:.0%})" for w, j in zip(words, chosen, strict=False)]
    n_more = len(chosen) - len(words)
    return ", ".join(words) + f" and {n_more} more" * (n_more > 0)


def check_count(**counts):
    """Raise unless numbers of things, each by its name, are positive integers."""
    for name, count in counts.items():
        if not isinstance(count, Integral) or count < 1:
            raise ValueError(f"{name}={count!r} must be a positive integer.")


def check_magnitude(X, name="X"):
    """Raise if the squares of samples to learn from overflow."""
    largest = max(
        float(np.fmax.reduce(X, axis=None)), -float(np.fmin.reduce(X, axis=None))
    )
    if largest > LARGEST:
        raise ValueError(
            f"{name} has an entry of size {largest:.3g}; the squares of entries above "
            f"{LARGEST:g} overflow. Rescale {name}, for example with StandardScaler."
        )


def check_rows(estimator, X, *, reset, allow_nan=False, min_samples=1, fitting=None):
    """Return `X` as a float array of samples that the hot loops can square."""
    if reset or not _are_plain_rows(estimator, X, min_samples):
        refuse_blocks(estimator, X)
        refuse_dates(X)
        with naming_words(X):
            X = validate_data(
                estimator,
                from_tensor(X),
                reset=reset,
                dtype=[np.float64, np.float32],
                ensure_min_samples=min_samples,
                ensure_all_finite="allow-nan" if allow_nan else True,
            )
    if fitting or (fitting is None and reset):
        check_magnitude(X)
    return X


def _are_plain_rows(estimator, X, min_samples):
    """Tell at once whether validation would find nothing to do, nothing to say."""
    if type(X) is not np.ndarray or X.ndim != 2 or X.dtype not in FLOATS:
        return False
    if len(X) < max(1, min_samples) or hasattr(estimator, "feature_names_in_"):
        return False
    if X.shape[1] != getattr(estimator, "n_features_in_", None):
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(X.sum()))


@contextmanager
def naming_words(X):
    """Name the columns of a frame that hold words, if these are why it is refused."""
    try:
        yield
    except ValueError as error:
        is_of_words = hasattr(X, "columns") and "convert string" in str(error)
        named = enumerate(_names_and_types(X)) if is_of_words else ()
        odd = [name for j, (name, _) in named if _has_words(X, j)]
        if not odd:
            raise
        raise ValueError(
            f"Columns {odd[:_MOST_NAMED]} hold words where numbers are meant: {error}. "
            "Encode them, for example with OneHotEncoder, or leave them out."
        ) from error


def _has_words(X, j):
    """Return whether a column of a frame is not read as numbers."""
    try:
        np.asarray(_safe_indexing(X, j, axis=1), np.float64)
    except (TypeError, ValueError):
        return True
    return False


# Beginnings of the names of types, of pandas, polars, Arrow and NumPy.
_DATES = "date", "time", "period", "duration"
_LISTS = "list", "array", "struct", "fixed_size_list"


def refuse_dates(X, name="X"):
    """Raise if columns hold dates, which would become any number, or lists."""
    types = date | time | timedelta | np.datetime64 | np.timedelta64
    refused = {"dates or times; give days since a date": (_DATES, types)}
    if hasattr(X, "columns"):
        remedy = "lists; give each of their numbers a column of its own"
        refused[remedy] = _LISTS, list | tuple | dict | np.ndarray
    for remedy, which in refused.items():
        odd = odd_columns(X, *which, name)
        if odd:
            raise ValueError(
                f"Columns {odd[:_MOST_NAMED]} hold {remedy}, or leave them out."
            )


def odd_columns(X, kinds, types, name="X"):
    """Return names of columns of such kinds, or that hold such values; or that of X."""
    if hasattr(X, "columns"):
        take = partial(_safe_indexing, X, axis=1)
        named = _names_and_types(X)
        columns = [(*pair, partial(take, j)) for j, pair in enumerate(named)]
    else:
        kind = "object" if isinstance(X, list | tuple) else getattr(X, "dtype", "")
        columns = [(name, kind, lambda: X)]
    return [n for n, kind, values in columns if _is_odd(kind, values, kinds, types)]


def _names_and_types(X):
    """Return pairs of a frame's columns, or those of an Arrow table."""
    if hasattr(X, "column_names"):
        return zip(X.column_names, X.schema.types, strict=True)
    return zip(X.columns, X.dtypes, strict=True)


def _is_odd(kind, values, kinds, types):
    """Return whether a column is of such a kind, or holds values of such types."""
    kind = str(kind).lower()
    if kind.startswith(("object", "str", "<u", "|s")):
        return any(isinstance(v, types) for v in np.array(values(), object).ravel())
    return kind.startswith(kinds)


def as_given(estimator, X, rows):
    """Return `X` if it is a frame whose names are known, else the checked samples."""
    # Parts of the estimator may choose columns by name or type.
    X = _as_frame(X)
    named = "feature_names_in_" in vars(estimator) and hasattr(X, "columns")
    return X if named else rows


def _as_frame(X):
    """Return an Arrow table as a frame of pandas; all else as it is."""
    # Its columns are its data, not their names, and transformers cannot make one.
    is_arrow = hasattr(X, "column_names") and hasattr(X, "to_pandas")
    return X.to_pandas() if is_arrow else X


def column_numbers(estimator, indices, values=None):
    """Return the numbers of columns given so, and check the names of their values."""
    chosen = _column_numbers(estimator, indices)
    names = getattr(estimator, "feature_names_in_", None)
    given = [*getattr(_as_frame(values), "columns", ())]
    if names is None or not given or not all(isinstance(name, str) for name in given):
        return chosen
    wanted = names[check_indices(chosen, len(names))].tolist()
    if given != wanted:
        raise ValueError(
            f"values has the columns {given}, but indices={indices!r} are {wanted}. "
            f"Give the same ones in the same order, as by values[{wanted}]."
        )
    return chosen


def _column_numbers(estimator, indices):
    """Return the numbers of columns that are given by number, or by name."""
    is_one = isinstance(indices, str)
    if isinstance(indices, slice) or not (is_one or np.ndim(indices)):
        return indices
    names = [*getattr(estimator, "feature_names_in_", ())]
    chosen = [indices] if is_one else [*indices]
    unknown = [i for i in chosen if isinstance(i, str) and i not in names]
    if unknown:
        raise ValueError(
            f"indices={indices!r} has {unknown[0]!r}, which is none of the names "
            f"{names} of columns seen in fit. Use these, or numbers."
        )
    return [names.index(i) if isinstance(i, str) else i for i in chosen]


def as_array(given):
    """Return the numbers of what :func:`as_given` returns."""
    return given if isinstance(given, np.ndarray) else np.asarray(given, np.float64)


def like_rows(rows, X, names=None):
    """Return samples as a frame of the kind of `X`, if `X` is one."""
    X = _as_frame(X)
    if not hasattr(X, "columns"):
        return rows
    names = X.columns if names is None else names
    return type(X)({name: rows[:, j] for j, name in enumerate(names)})


@contextmanager
def nameless():
    """Let estimators that know columns by name take arrays without a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        yield


def check_numbers(values, name, **options):
    """Return an array, a tensor, a table or a list as an array of floats, by name."""
    options = {"dtype": np.float64} | options
    refuse_dates(values, name)
    with naming_words(values):
        return check_array(from_tensor(values), input_name=name, **options)


def positive_numbers(value, name, meaning):
    """Return positive numbers, or one, as a list; `meaning` says what they are."""
    numbers = value.tolist() if hasattr(value, "tolist") else value
    # Sets have no order, and of a dict these would be its keys.
    numbers = numbers if isinstance(numbers, Sequence) else [numbers]
    if not numbers or not all(map(is_positive, numbers)):
        raise ValueError(
            f"{name}={value!r} must be a positive, finite number, or a sequence of "
            f"such numbers. {meaning}"
        )
    return list(numbers)


def is_positive(value):
    """Return whether a value is a positive, finite number, and no truth value."""
    is_number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    return is_number and 0 < value < np.inf


def check_weights(sample_weight, X):
    """Return sample weights as floats, or None if none are given."""
    if sample_weight is None:
        return None
    sample_weight = from_tensor(sample_weight)
    if not np.asarray(sample_weight).any():
        raise ValueError(
            "sample_weight: all weights are zero; give at least one sample a "
            "positive weight."
        )
    is_single = getattr(sample_weight, "dtype", None) == np.float32
    dtype = np.float32 if is_single else np.float64
    return _check_sample_weight(sample_weight, X, dtype=dtype, ensure_non_negative=True)


def as_scores(log_prob, X):
    """Return log-densities in the data type of `X`; what that cannot hold is -inf."""
    with np.errstate(over="ignore"):
        return log_prob.astype(X.dtype, copy=False)


def mean_score(log_prob, sample_weight):
    """Return the weighted mean of log-densities; weights of zero do not count."""
    weight = check_weights(sample_weight, log_prob)
    if weight is None:
        return float(log_prob.mean())
    counts = weight > 0
    return float(np.average(log_prob[counts], weights=weight[counts]))


def tie_shares(X):
    """Return the shares of repeated values and of the commonest one, (n_features,)."""
    counts = [np.unique(column, return_counts=True)[1] for column in X.T]
    ties = [1 - len(count) / len(X) for count in counts]
    atoms = [count.max() / len(X) for count in counts]
    return np.array(ties), np.array(atoms)


def warn_about_ties(estimator, ties, atoms, what, remedy):
    """Warn of values that repeat: their likelihood is one of the resolution."""
    tied = (ties > TIE_SHARE) & (atoms < 1)
    if not tied.any():
        return
    names = getattr(estimator, "feature_names_in_", None) if what == "columns" else None
    warn(
        f"{type(estimator).__name__}: many of the values of {what} "
        f"{_listed(tied, names, ties)} repeat others. A log-likelihood of ties "
        f"measures how narrow the components may be. {remedy}",
    )


# A component sees single values of a column with ties if it is narrower than this
# share of the gap between them, or of the column.
NARROW_GAP, NARROW = 0.1, 0.02

# So many samples rule out most columns of two values.
_HEAD = 100


def warn_about_narrow_ties(estimator, X, variances):
    """Warn of ties that components of variances (K, d) narrow to, and of two values."""
    if not isinstance(X, np.ndarray):
        return
    narrowest = np.sqrt(np.min(variances, axis=0))
    ties, atoms = np.zeros(X.shape[1]), np.ones(X.shape[1])
    low, high = np.fmin.reduce(X, axis=0), np.fmax.reduce(X, axis=0)
    width = high - low
    # Two values are a category, whose density is as high as it is narrow.
    head = X[:_HEAD]
    binary = ((head == low) | (head == high) | np.isnan(head)).all(axis=0)
    # No gap and no spread is wider: this saves most sorting.
    for j in np.flatnonzero((narrowest < NARROW_GAP * width) | binary):
        column = X[~np.isnan(X[:, j]), j].astype(np.float64)
        values = np.unique(column)
        gap = np.median(np.diff(values)) if len(values) > 1 else 0.0
        narrow = narrowest[j] < max(NARROW_GAP * gap, NARROW * column.std())
        if narrow or len(values) == 2:
            ties[[j]], atoms[[j]] = tie_shares(column[:, None])
    remedy = (
        "Drop such columns, or use StackingDensity(dequantize=True), which spreads "
        "their values."
    )
    warn_about_ties(estimator, ties, atoms, "columns", remedy)


def name_estimators(estimators, words=()):
    """Return pairs (name, estimator) of words, estimators and pairs, each name once."""
    pairs = []
    for item in estimators:
        is_pair = isinstance(item, tuple | list) and len(item) == 2
        name, estimator = item if is_pair else (None, item)
        if not is_pair and isinstance(item, str) and item in words:
            name = item
        elif (
            not hasattr(estimator, "fit")
            or isinstance(estimator, type)
            or not isinstance(name, str | None)
        ):
            known = f"one of the words {sorted(words)}, " if words else ""
            raise ValueError(
                f"estimators={estimators!r} has {item!r}: it must be {known}an "
                "estimator, or a pair (name, estimator)."
            )
        pairs.append((name, estimator))
    bare = [estimator for name, estimator in pairs if name is None]
    found = iter(_name_estimators(bare))
    pairs = [pair if pair[0] is not None else next(found) for pair in pairs]
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(
            f"estimators={estimators!r} has the names {names}; give every name once."
        )
    return pairs
