"""What a manifest says as a whole: counts, rejections, statistics, and which sequences to look at. Read row by row.

Memory grows with the numbers of the statistics (eight bytes a sequence and column) and with the number of videos, not
with the text of the rows.
"""

from __future__ import annotations

import heapq
import random
import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from data.dataset.manifest import NUMBERS

Row = dict[str, Any]  # of data.dataset.manifest.iterate_manifest

QUALITY = ("consistency", "rms_amplitude")  # what sequences are ranked by: the first of these that the manifest has
STATISTICS = tuple(name for name in NUMBERS if name != "fps")
CANDIDATES = 16  # so many times more rows are kept than shown, so that different videos can be shown
MOST_REJECTIONS = 500  # rejected rows that are listed one by one
MOST_REASONS = 100  # kinds of reasons that are counted separately
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*\w)")
# The name of a file is no kind of reason. What stands behind it is the same for all of a kind.
NAMES = re.compile(r"(duplicate of |the same file as )(.+?)(?=$| \(distance)")


class Rejections:
    """Sequences, and videos without sequences, dropped for the same reason, whatever the numbers in it."""

    def __init__(self, texts: tuple[str, ...], numbers: list[float]) -> None:
        self.texts = texts  # of the reason, around its numbers
        self.ranges = [(number, number) for number in numbers]  # lowest and highest of each
        self.sequences = 0
        self.videos: set[str] = set()

    def add(self, row: Row, numbers: list[float]) -> None:
        """Count a row of the manifest."""
        pairs = zip(self.ranges, numbers, strict=True)
        self.ranges = [(min(low, number), max(high, number)) for (low, high), number in pairs]
        self.sequences += bool(row["id"])
        self.videos.add(row["source"])

    @property
    def reason(self) -> str:
        """The reason with the range of each number: ``camera motion: 95.1 to 99.8% of the pixels ...``."""
        shown = [f"{low:g}" if low == high else f"{low:g} to {high:g}" for low, high in self.ranges]
        return "".join(text + number for text, number in zip(self.texts, [*shown, ""], strict=True))


class Extremes:
    """Keeps the rows with the lowest (``sign`` 1) or highest (-1) keys of those offered."""

    def __init__(self, size: int, sign: int) -> None:
        self.size, self.sign, self.offered = size, sign, 0
        self._heap: list[tuple[float, int, Row]] = []

    def offer(self, key: float, row: Row) -> None:
        """Take a row if its key is among the lowest or highest so far; of equal ones the first."""
        self.offered += 1
        entry = (-self.sign * key, -self.offered, row)
        if len(self._heap) < self.size:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def rows(self) -> list[Row]:
        """The lowest or highest first."""
        return [row for _, _, row in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)]


class Sample:
    """A uniform sample of the rows offered, the same for the same rows and seed (reservoir sampling)."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.offered = size, 0
        self._rows: list[Row] = []
        self._random = random.Random(seed)

    def offer(self, row: Row) -> None:
        """Take the row with such a probability that in the end all rows were equally likely."""
        self.offered += 1
        if len(self._rows) < self.size:
            self._rows.append(row)
        elif (place := self._random.randrange(self.offered)) < self.size:
            self._rows[place] = row

    def rows(self) -> list[Row]:
        """In random order."""
        return self._random.sample(self._rows, len(self._rows))


class Summary:
    """Counts, statistics and samples of the rows that were added.

    Args:
        shown: sequences that will be shown of the lowest, of the highest and of the random ones.
        sampled: size of the sample whose files will be read.
        split: the split of that sample; all splits by default.
        seed: draws what is random.
        most_reasons: kinds of reasons told apart.
    """

    def __init__(
        self,
        *,
        shown: int,
        sampled: int,
        seed: int,
        split: str | None = None,
        most_reasons: int = MOST_REASONS,
    ) -> None:
        self.shown, self.split, self.most_reasons = shown, split, most_reasons
        self.sequences: Counter[tuple[str, str]] = Counter()  # by (split, status)
        self.seconds: Counter[tuple[str, str]] = Counter()  # their lengths added up, though they overlap
        self.videos: dict[tuple[str, str], set[str]] = defaultdict(set)  # hashes
        self.shots: set[tuple[str, int]] = set()  # (video, shot), empty where the manifest has no shots
        self.unusable: set[str] = set()  # names of videos that gave no sequence
        self.estimators: Counter[str] = Counter()
        self.statistics: dict[str, dict[str, array]] = {}  # column -> status -> a value of each sequence
        self.rejected: list[Row] = []  # the first MOST_REJECTIONS
        self.rejected_rows = 0
        self.sample = Sample(sampled, seed)
        self._reasons: dict[tuple[str, ...], Rejections] = {}
        self._lowest, self._highest = Extremes(CANDIDATES * shown, 1), Extremes(CANDIDATES * shown, -1)
        self._random = Sample(CANDIDATES * shown, seed)
        self.ranked_by: str | None = None

    def add(self, row: Row) -> None:
        """Take a row of the manifest into account."""
        if row["status"] == "dropped":
            self._reject(row)
        if not row["id"]:
            if row.get("shot") is None:  # else one shot is too short, and the video is used otherwise
                self.unusable.add(row["source"])
            return
        key = (row["split"], row["status"])
        self.sequences[key] += 1
        self.videos[key].add(row["source_sha256"])
        self.seconds[key] += row["num_frames"] / row["fps"]
        self.estimators[row.get("estimator") or "unknown"] += 1
        if row.get("shot") is not None:
            self.shots.add((row["source_sha256"], row["shot"]))
        for name in STATISTICS:
            if row.get(name) is not None:
                columns = self.statistics.setdefault(name, defaultdict(lambda: array("d")))
                columns[row["status"]].append(row[name])
        if row["status"] == "kept":
            self._keep(row)

    @property
    def rejections(self) -> list[Rejections]:
        """The most frequent first."""
        return sorted(self._reasons.values(), key=lambda found: (-found.sequences, -len(found.videos), found.texts))

    def total(self, status: str) -> int:
        """Sequences of all splits."""
        return sum(count for (_, other), count in self.sequences.items() if other == status)

    def chosen(self) -> tuple[list[Row], list[Row], list[Row]]:
        """Kept sequences to show, none of them twice: lowest, highest and random ones."""
        taken: set[str] = set()
        lowest = _of_different_videos(self._lowest.rows(), self.shown, taken)
        highest = _of_different_videos(self._highest.rows(), self.shown, taken)
        return lowest, highest, _of_different_videos(self._random.rows(), self.shown, taken)

    def _reject(self, row: Row) -> None:
        self.rejected_rows += 1
        if len(self.rejected) < MOST_REJECTIONS:
            self.rejected.append(row)
        reason = NAMES.sub(r"\1another", row.get("reason") or "no reason given")
        texts, numbers = tuple(NUMBER.split(reason)), [float(number) for number in NUMBER.findall(reason)]
        if texts not in self._reasons and len(self._reasons) >= self.most_reasons:
            texts, numbers = ("other reasons",), []
        self._reasons.setdefault(texts, Rejections(texts, numbers)).add(row, numbers)

    def _keep(self, row: Row) -> None:
        self.ranked_by = self.ranked_by or next((name for name in QUALITY if row.get(name) is not None), None)
        if self.ranked_by and row.get(self.ranked_by) is not None:
            self._lowest.offer(row[self.ranked_by], row)
            self._highest.offer(row[self.ranked_by], row)
        self._random.offer(row)
        if self.split in (None, row["split"]):
            self.sample.offer(row)


def summarize(rows: Iterable[Row], *, shown: int, sampled: int, seed: int, split: str | None = None) -> Summary:
    """:class:`Summary` of the rows of a manifest, which are looked at once."""
    summary = Summary(shown=shown, sampled=sampled, seed=seed, split=split)
    for row in rows:
        summary.add(row)
    return summary


def _of_different_videos(rows: list[Row], count: int, taken: set[str]) -> list[Row]:
    """``count`` of the rows, in their order: those of videos not seen yet before others. Their ids go to ``taken``."""
    rows = [row for row in rows if row["id"] not in taken]
    seen: Counter[str] = Counter()
    turns = []  # how many rows of the same video stand before each
    for row in rows:
        turns.append(seen[row["source_sha256"]])
        seen[row["source_sha256"]] += 1
    picked = sorted(sorted(range(len(rows)), key=turns.__getitem__)[:count])
    taken |= {rows[index]["id"] for index in picked}
    return [rows[index] for index in picked]
