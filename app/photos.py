"""Which photos a command line means: files, and folders of them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from app.files import pictures_of
from common.image_files import IMAGE_SUFFIXES


def find_photos(given: Sequence[Path]) -> list[Path]:
    """The photos that were given, each file once: files as they are named, folders as the pictures below them.

    A file need not exist: what is wrong with a photo is found out when its turn comes.

    Raises:
        ValueError: a folder without pictures, or an address.
    """
    from data.footage.find import find_sources

    found: list[Path] = []
    for path in given:
        address = re.sub("^([a-z]+:)/", r"\1//", str(path))  # pathlib makes one slash of two
        if address != str(path) and not path.exists():
            raise ValueError(f"{address}: an address; download the picture and give its file")
        if path.is_dir():
            here = Path(os.path.realpath(path))
            for picture, _ in find_sources([path], IMAGE_SUFFIXES, thing="photo"):
                inside = picture.is_relative_to(here)  # not so for one that is reached by a link alone
                found.append(path / picture.relative_to(here) if inside else picture)
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def set_pictures_apart(
    found: Sequence[Path], given: Sequence[Path], *, output: str | None
) -> tuple[list[Path], list[Path]]:
    """The photos among the files found, and the pictures that an earlier run made of others of them.

    Args:
        given: files that are photos whatever their names, because they were named.
        output: OUT of that run.
    """
    makers: dict[Path, set[Path]] = {}
    for photo in found:
        for path in pictures_of(photo, output):
            makers.setdefault(path.absolute(), set()).add(photo)
    made = {photo for photo in found if makers.get(photo.absolute(), set()) - {photo}} - set(given)
    return [photo for photo in found if photo not in made], [photo for photo in found if photo in made]
