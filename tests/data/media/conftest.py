"""The picture and the clip that the tests of media share."""

import numpy as np
import pytest
from helpers.clips.rolling_clip import rolling_clip, smooth_picture


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    return smooth_picture()


@pytest.fixture(scope="session")
def clip() -> np.ndarray:
    return rolling_clip()
