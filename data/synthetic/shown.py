"""What each photo of a dataset shows: read once, kept in ``readings.json``, and the lines said about all of them."""

from __future__ import annotations

import functools
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from common.command_line import write_json
from common.hashing import file_sha256
from data.csv_files import read_lines
from data.dataset.sequence_file import sequence_path
from data.footage.find import sequence_id
from data.footage.sources import Source
from data.media.images import read_image
from data.synthetic.maps.files import read_maps, read_networks
from data.synthetic.things.reading import DOUBTFUL, MOVES, STILL, Reading, read_photo
from data.workers import Workers

KEEP, SKIP = "keep", "skip"
DOUBTS = (SKIP, STILL, KEEP)  # what becomes of doubtful photos
READINGS = "readings.json"
VERSION = 1  # of that file and of the way of reading photos


@dataclass(frozen=True)
class Shown:
    """What a photo shows, without the things themselves."""

    verdict: str
    note: str
    category: str
    networks: tuple[str, ...]  # sha256 of those that made its maps

    @property
    def line(self) -> str:
        """What the manifest says."""
        return f"{self.verdict}: {self.note}"


def scan_photos(
    names: list[tuple[Path, str]],
    size: tuple[int, int],
    *,
    categories: Mapping[str, str],
    maps: Path,
    known: Mapping[str, Shown],
    workers: Workers,
) -> tuple[list[Source], dict[str, Shown]]:
    """Look at every photo once: the sources, problems included, and what the usable ones show by sha256.

    Args:
        known: of :func:`known_readings`; what was told of a photo by the same category and networks stays as it is.
    """
    scan = functools.partial(_scan, size=size, categories=categories, maps=maps, known=known)
    scanned = dict(workers.map(scan, names, total=len(names), unit="photos", brief=True))
    first_of: dict[str, str] = {}
    sources, shown = [], {}
    for item in names:
        source, seen = scanned[item]
        if source.problem is None and source.sha256 in first_of:
            source = replace(source, problem=f"the same file as {first_of[source.sha256]}")
        first_of.setdefault(source.sha256, source.name)
        if source.problem is None and seen is not None:
            shown[source.sha256] = seen
        sources.append(source)
    return sources, shown


def _scan(
    item: tuple[Path, str],
    *,
    size: tuple[int, int],
    categories: Mapping[str, str],
    maps: Path,
    known: Mapping[str, Shown],
) -> tuple[Source, Shown | None]:
    path, name = item
    digest, problem, seen = "", None, None
    try:
        digest = file_sha256(path)
        height, width = read_image(path).shape[:2]
        if width < size[0] or height < size[1]:
            problem = f"{width}x{height} is too small for sequences of {size[0]}x{size[1]}; choose a smaller --size"
        else:
            category = categories.get(path.name, "")
            seen = known.get(digest)
            if seen is None or (seen.category, seen.networks) != (category, networks_of(path, digest, maps)):
                reading, networks = reading_of(str(path), digest, category, maps)
                seen = Shown(reading.verdict, reading.note, category, networks)
    except (ValueError, OSError) as error:
        problem = str(error).removeprefix(f"{path}: ")  # no absolute path belongs into the manifest
    return Source(str(path), name, digest, None, problem), seen


def networks_of(path: Path, sha256: str, maps: Path) -> tuple[str, ...]:
    """The sha256 of the networks that made a photo's maps."""
    return tuple(sorted(read_networks(maps, path, sha256).values()))


@functools.lru_cache(maxsize=2)
def reading_of(path: str, sha256: str, category: str, maps: Path) -> tuple[Reading, tuple[str, ...]]:
    """What is in a photo, and the networks that helped; the sequences of one photo are made one after the other."""
    found, networks = read_maps(maps, Path(path), sha256)
    return read_photo(read_image(path), found, category=category), tuple(sorted(networks.values()))


def read_categories(path: Path | None) -> dict[str, str]:
    """Category of each photo by its file name, from a CSV with the columns ``file`` and ``category``.

    Raises:
        ValueError: the file lacks one of them.
    """
    if path is None:
        return {}
    lines = read_lines(path, ("file", "category"), option="--categories")
    return {Path(line["file"]).name: line.get("category", "").strip() for line in lines if line.get("file")}


def known_readings(folder: Path) -> dict[str, Shown]:
    """What an earlier run wrote down, by sha256; empty where it didn't or it was made in another way."""
    try:
        values = json.loads((folder / READINGS).read_text(encoding="utf-8"))
        if values["version"] != VERSION:
            return {}
        return {
            digest: Shown(seen["verdict"], seen["note"], seen["category"], tuple(seen["networks"]))
            for digest, seen in values["photos"].items()
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def remove_outdated(
    folder: Path, sources: Sequence[Source], *, known: Mapping[str, Shown], shown: Mapping[str, Shown]
) -> None:
    """Remove the sequences of photos of which an earlier run knew something else, so that they are made again."""
    for source in sources:
        digest = source.sha256
        if digest in known and known[digest] != shown.get(digest):
            first = sequence_path(folder, sequence_id(source.name, digest, 0))
            for path in first.parent.glob(first.name.replace("_00000.", "_?????.")):
                path.unlink()


def write_readings(folder: Path, shown: Mapping[str, Shown]) -> None:
    """Keep what the photos show, for the next run and for whoever wants to select by it."""
    photos = {digest: asdict(seen) for digest, seen in sorted(shown.items())}
    write_json(folder / READINGS, {"version": VERSION, "photos": photos})


def apply_doubts(
    sources: Sequence[Source], shown: Mapping[str, Shown], doubtful: str
) -> tuple[list[Source], dict[str, Shown]]:
    """Skip doubtful photos, leave them still or keep them as they are, as ``doubtful`` says."""
    result, changed = [], dict(shown)
    for source in sources:
        seen = shown.get(source.sha256)
        if source.problem is None and seen is not None and seen.verdict == DOUBTFUL:
            if doubtful == SKIP:
                source = replace(source, problem=f"excluded as doubtful: {seen.note}")
            elif doubtful == STILL:
                changed[source.sha256] = replace(seen, verdict=STILL, note=f"doubtful, {seen.note}")
        result.append(source)
    return result, changed


def announce(shown: Mapping[str, Shown], doubtful: str, maps: Path) -> None:
    """Say how many photos show what, and what is missing to know more."""
    counts = Counter(seen.verdict for seen in shown.values())
    print(f"{counts[MOVES]} photos sway, {counts[STILL]} are still, {counts[DOUBTFUL]} are doubtful ({doubtful})")
    without = sum(not seen.networks for seen in shown.values())
    if without:
        which = "the photos have no maps" if without == len(shown) else f"{without} photos have no maps"
        print(
            f"{which} in {maps}: what moves there is told by colour and focus alone, and many stay doubtful; "
            "python -m data.synthetic.maps adds classes and mattes",
            file=sys.stderr,
        )
