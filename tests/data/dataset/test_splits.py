"""Which split a video belongs to: a matter of its content alone, of names that are pinned, and of empty splits."""

from __future__ import annotations

from collections import Counter

from data.dataset.options import SplitOptions
from data.dataset.splits import SPLITS, assign_splits, split_position, unmatched_patterns
from data.footage.sources import Source


def source(number: int, problem: str | None = None) -> Source:
    return Source(f"/{number}.mp4", f"clips/{number}.mp4", f"{number:064x}", None, problem)


def test_splits_come_from_each_video_alone() -> None:
    shares = (0.8, 0.1, 0.1)
    options = SplitOptions(split=shares, seed=3)
    many = [source(number) for number in range(4000)]
    splits = assign_splits(many, options)
    counts = Counter(splits.values())
    assert all(
        abs(counts[name] - 4000 * share) < 4 * (4000 * share) ** 0.5 for name, share in zip(SPLITS, shares, strict=True)
    )
    for number in (0, 17, 3999):
        u = split_position(many[number].sha256, 3)
        assert splits[many[number].sha256] == ("train" if u < 0.8 else "validation" if u < 0.9 else "test")
    # Others coming or going, their order and their names change nothing.
    some = assign_splits(reversed(many[1000:1500]), options)
    assert some == {digest: splits[digest] for digest in some}
    assert assign_splits(many, SplitOptions(split=shares, seed=4)) != splits


def test_pinned_videos_and_problems() -> None:
    sources = [source(0), source(1), source(2, "too short"), source(3)]
    pinned = SplitOptions(split=(1.0, 0.0, 0.0), validation=("1.mp4",), test=("clips/3*",))
    splits = assign_splits(sources, pinned)
    digests = {number: sources[number].sha256 for number in range(4)}
    assert splits == {digests[0]: "train", digests[1]: "validation", digests[3]: "test"}
    assert unmatched_patterns(sources, pinned) == []
    assert unmatched_patterns(sources, SplitOptions(validation=("1.mp4", "2.*"), test=("x*",))) == [
        "--validation '2.*'",
        "--test 'x*'",
    ]


def test_an_empty_split_gets_the_nearest_video() -> None:
    for seed in range(40):
        sources = [source(number) for number in range(6)]
        plain = assign_splits(sources, SplitOptions(seed=seed), fill_empty=False)
        filled = assign_splits(sources, SplitOptions(seed=seed))
        assert set(filled.values()) == set(SPLITS)
        moved = {digest for digest in plain if plain[digest] != filled[digest]}
        assert {filled[digest] for digest in moved} == set(SPLITS) - set(plain.values())
        if set(plain.values()) == {"train", "validation"}:
            (digest,) = moved
            free = [other for other in plain if Counter(plain.values())[plain[other]] > 1]
            assert digest == max(free, key=lambda other: split_position(other, seed))
    # One video trains; of two, the second validates.
    for seed in range(40):
        assert set(assign_splits([source(0)], SplitOptions(seed=seed)).values()) == {"train"}
        two = set(assign_splits([source(0), source(1)], SplitOptions(seed=seed)).values())
        assert "train" in two
        assert len(two) == 2
        # What is pinned counts, and a split without a share stays empty.
        options = SplitOptions(split=(0.5, 0.0, 0.5), test=("1.mp4",), seed=seed)
        pinned = assign_splits([source(0), source(1)], options)
        assert pinned == {source(0).sha256: "train", source(1).sha256: "test"}
