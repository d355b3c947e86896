"""The recipes of doc/guide/scale.rst for Ray and Spark, where they are installed."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skgmje.em import RowBlocks, tree_reduce
from skgmje.mixture import GaussianMixture

X = np.random.default_rng(0).normal(size=(900, 3))
PARTS = [X[:400], X[400:700], X[700:]]


class Lists(RowBlocks):
    """Blocks of this process, to compare with."""

    def reduce(self, function, merge):
        return tree_reduce(merge, [function(i, X, None) for i, X in enumerate(PARTS)])

    def __iter__(self):
        return ((X, None) for X in PARTS)


def check(blocks, score):
    """Compare an engine with this process, to the bit."""
    mixture = GaussianMixture(3, random_state=0, max_iter=5, tol=0)
    with pytest.warns(UserWarning, match="did not converge"):
        expected = mixture.fit(Lists()).means_
    with pytest.warns(UserWarning, match="did not converge"):
        assert_array_equal(mixture.fit(blocks).means_, expected)
    assert mixture.score(blocks) == mixture.score(Lists())
    assert_array_equal(score(mixture), mixture.score_samples(X))


@pytest.mark.slow
def test_ray(monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")

    class RayRows(RowBlocks):
        def __init__(self, blocks):
            self.blocks = blocks  # one reference for each block

        def reduce(self, function, merge):
            work, join = ray.remote(_call), ray.put(merge)
            function = ray.put(function)
            results = [
                work.remote(function, i, X, None) for i, X in enumerate(self.blocks)
            ]
            return ray.get(tree_reduce(lambda *p: work.remote(join, *p), results))

        def __iter__(self):
            return ((ray.get(X), None) for X in self.blocks)

    ray.init(num_cpus=2, include_dashboard=False, _node_ip_address="127.0.0.1")
    try:
        blocks = [ray.put(part) for part in PARTS]

        def score(mixture):
            work, answer = ray.remote(_call), ray.put(mixture.score_samples)
            return np.concatenate(ray.get([work.remote(answer, X) for X in blocks]))

        check(RayRows(blocks), score)
    finally:
        ray.shutdown()


def _call(function, *args):
    return function(*args)


@pytest.mark.slow
def test_spark():
    pyspark = pytest.importorskip("pyspark")

    class SparkRows(RowBlocks):
        def __init__(self, blocks):
            self.blocks = blocks.zipWithIndex()  # an RDD of arrays

        def reduce(self, function, merge):
            results = self.blocks.map(lambda block: function(block[1], block[0], None))
            return tree_reduce(merge, results.collect())

        def __iter__(self):
            return ((X, None) for X, _ in self.blocks.toLocalIterator())

    conf = pyspark.SparkConf().set("spark.driver.bindAddress", "127.0.0.1")
    conf = conf.set("spark.driver.host", "127.0.0.1").set("spark.ui.enabled", "false")
    with pyspark.SparkContext("local[2]", conf=conf) as context:
        blocks = context.parallelize(PARTS, len(PARTS))

        def score(mixture):
            return np.concatenate(blocks.map(mixture.score_samples).collect())

        check(SparkRows(blocks), score)
