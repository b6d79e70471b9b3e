"""Parts of a dataset that independent runs make, ``--shard I/N``, and what each notes for `data.dataset.merge`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common.command_line import write_json
from common.hashing import text_sha256
from common.plain import from_plain, read_json
from data.dataset.options import PrepareOptions
from data.footage.sources import Source
from data.media.read_video import VideoInfo

SHARD_VERSION = 1
FILE_NAME = re.compile(r"([1-9]\d*)-of-([1-9]\d*)\.json")


@dataclass(frozen=True)
class Shard:
    """Every ``count``-th video of the sorted listing from position ``index`` - 1 on."""

    index: int  # 1 to count
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def file_name(self) -> str:
        return f"{self.index}-of-{self.count}.json"

    def part(self, items: list) -> list:
        """The items that are this shard's."""
        return items[self.index - 1 :: self.count]


@dataclass(frozen=True)
class ShardResult:
    """What a finished run with ``--shard`` found."""

    shard: Shard
    listing: str  # hash of the names of all videos, those of other shards too
    options: PrepareOptions
    sources: list[Source]  # as scanned: what other shards hold is not known
    failures: dict[str, str]  # id of a sequence that can't be computed -> reason


def listing_hash(names: list[tuple[Path, str]]) -> str:
    """Hash of what :func:`data.footage.find.find_sources` returned, without the places."""
    return text_sha256("\0".join(name for _, name in names))


def write_shard(folder: Path, result: ShardResult) -> None:
    """Write ``shards/I-of-N.json`` of a dataset folder."""
    values: dict[str, Any] = {"format_version": SHARD_VERSION, "listing": result.listing}
    values |= {"arguments": asdict(result.options), "failures": result.failures}
    values["sources"] = [asdict(source) for source in result.sources]
    write_json(folder / "shards" / result.shard.file_name, values)


def read_shards(folder: Path) -> list[ShardResult]:
    """The finished shards of a dataset folder.

    Raises:
        ValueError: a file that is none of ours.
    """
    results = []
    for path in sorted((folder / "shards").glob("*.json")):
        match = FILE_NAME.fullmatch(path.name)
        if not match:
            continue
        try:
            values = read_json(path)
            if values["format_version"] != SHARD_VERSION:
                raise ValueError
            sources = [_source(value) for value in values["sources"]]
            shard = Shard(int(match[1]), int(match[2]))
            options = from_plain(PrepareOptions, values["arguments"])
            results.append(ShardResult(shard, values["listing"], options, sources, values["failures"]))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            name = f"--shard {match[1]}/{match[2]}"
            raise ValueError(f"{path}: not a shard that this program reads, run {name} again") from error
    return results


def remove_shards(folder: Path) -> None:
    """Remove the folder ``shards``, when a dataset is whole."""
    if (folder / "shards").is_dir():
        for path in (folder / "shards").iterdir():
            if FILE_NAME.fullmatch(path.name) or path.name.endswith(".lock"):
                path.unlink(missing_ok=True)
        if not any((folder / "shards").iterdir()):
            (folder / "shards").rmdir()


def _source(values: Mapping[str, Any]) -> Source:
    info = values["info"]
    return from_plain(Source, {**values, "info": None if info is None else from_plain(VideoInfo, info)})
