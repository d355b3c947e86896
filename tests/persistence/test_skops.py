"""Files of skops ask to trust this library's classes, and no others."""

import pytest
import skops.io
from numpy.testing import assert_array_equal

# All that hold no torch module; those are for `save`.
NAMES = (
    *("gaussian-full", "gaussian-low-rank", "gaussian-auto", "kernel", "gas"),
    *("conditional-auto", "conditional-network", "conditional-neural-gas"),
    *("transformed", "transformed-power", "transformed-quantile"),
    *("transformed-columns", "transformed-pipeline"),
)


@pytest.mark.parametrize("name", NAMES)
def test_only_our_own_classes_need_trust(name, fit_case, answers):
    fitted, _ = fit_case(name)
    data = skops.io.dumps(fitted)
    types = skops.io.get_untrusted_types(data=data)
    assert [name for name in types if not name.startswith("skgmje.")] == []
    found = answers(skops.io.loads(data, trusted=types))
    for method, value in answers(fitted).items():
        assert_array_equal(found[method], value)
