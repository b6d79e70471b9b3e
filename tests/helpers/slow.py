"""Values of a parameter that are tried by the slow tests alone."""

from functools import partial

import pytest

slow = partial(pytest.param, marks=pytest.mark.slow)
