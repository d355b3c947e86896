"""Names of types in signatures."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike as ArrayLike
from numpy.typing import NDArray as NDArray

if TYPE_CHECKING:
    from typing_extensions import Self as Self
else:
    Self = Any

# What decorators take and return.
Function = TypeVar("Function", bound=Callable[..., Any])
Class = TypeVar("Class", bound=type)

# A NumPy array or a torch tensor: what is returned is what was given.
Array = Any
# What a NaN means.
Missing = Literal["raise", "marginal"]
RandomState = int | np.random.RandomState | np.random.Generator | None
