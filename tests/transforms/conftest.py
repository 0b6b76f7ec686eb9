"""A volume whose voxels can be told apart."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture
def volume() -> NDArray[np.int16]:
    """5 x 6 x 7 different numbers."""
    return np.random.default_rng(0).permutation(5 * 6 * 7).reshape(5, 6, 7).astype(np.int16)
