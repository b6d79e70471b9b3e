"""A server on a free port with tiny models, for the tests of its folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import pytest
from helpers.local_server import Client, GatedPipeline, start_server


@pytest.fixture(scope="module")
def pipeline() -> GatedPipeline:
    return GatedPipeline()


@pytest.fixture
def serving(pipeline, tmp_path) -> Callable[..., AbstractContextManager[Client]]:
    """Starts a server whose temporary folder is made in an empty one."""
    return partial(start_server, pipeline, tmp_path)


@pytest.fixture
def client(serving) -> Iterator[Client]:
    with serving() as client:
        yield client
