"""Where clips come from: MUG, UTD-MHAD and NATOPS with the published subjects, and our dataset folders."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from baselines.lfdm.data.clips import Clip, PictureClip, SequenceClip, VideoClip

PICTURES = (".jpg", ".jpeg", ".png")
SPLITS = ("train", "validation", "test")
MUG_LABELS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
# The published split: subjects shuffled with seed 1234, the first 26 for training.
MUG_TRAIN = "008 017 021 028 030 031 034 036 037 038 039 042 043 044 045 055 060 061 062 063 071 075 076 077 083 084"
MUG_TEST = "001 002 006 007 010 013 014 020 027 032 033 040 046 048 049 052 064 065 066 070 072 073 074 078 079 082"
MHAD_LABELS = (
    *("swipe left", "swipe right", "wave", "clap", "throw", "arm cross", "basketball shoot", "draw x"),
    *("draw circle clockwise", "draw circle counter clockwise", "draw triangle", "bowling", "boxing"),
    *("baseball swing", "tennis swing", "arm curl", "tennis serve", "push", "knock", "catch", "pick up and throw"),
    *("jog", "walk", "sit to stand", "stand to sit", "lunge", "squat"),
)
MHAD_TRAIN, MHAD_TEST = (1, 2, 3, 5), (4, 6, 7, 8)
MHAD_BOX = (156, 0, 492, 480)  # twice the bounding box of the depth maps
NATOPS_LABELS = (
    *("i have command", "all clear", "not clear", "spread wings", "fold wings", "lock wings", "up hook", "down hook"),
    *("remove tiedowns", "remove chocks", "insert chocks", "move ahead", "turn left", "turn right"),
    *("next marshaller", "slow down", "stop", "nosegear steering", "hot brakes", "brakes on", "brakes off"),
    *("install tiedowns", "fire", "cut engine"),
)
NATOPS_TRAIN, NATOPS_TEST = (3, 4, 8, 9, 12, 13, 15, 17, 19, 20), (2, 5, 6, 7, 10, 11, 14, 16, 18)
NATOPS_BOX = (30, 10, 290, 239)


def mug_clips(root: Path, split: str) -> list[Clip]:
    """``SUBJECT/EXPRESSION/TAKE/*.jpg``; some subjects have their expressions within ``session0``, ``session1`` ..."""
    subjects = {"train": MUG_TRAIN, "test": MUG_TEST}.get(split, "").split()
    clips: list[Clip] = []
    for subject in subjects:
        places = [root / subject, *sorted((root / subject).glob("session*"))]
        for place in places:
            for label in MUG_LABELS:
                takes = sorted(path for path in (place / label).glob("*") if path.is_dir())
                clips += [clip for take in takes if (clip := _pictures(take, label=label, subject=subject))]
    return clips


def mhad_clips(root: Path, split: str) -> list[Clip]:
    """``aA_sS_tT/*.png``, already cut to 336x480, or the published ``aA_sS_tT_color.avi``, which are cut here."""
    subjects = {"train": MHAD_TRAIN, "test": MHAD_TEST}.get(split, ())
    clips: list[Clip] = []
    for path, numbers in _matching(root, r"a(\d+)_s(\d+)_t(\d+)(_color\.avi)?"):
        action, subject = numbers[:2]
        if subject not in subjects or not 1 <= action <= len(MHAD_LABELS):
            continue
        label = MHAD_LABELS[action - 1]
        if path.is_dir():
            clip = _pictures(path, label=label, subject=str(subject))
            clips += [clip] if clip else []
        else:
            clips.append(VideoClip(path, label=label, subject=str(subject), box=MHAD_BOX))
    return clips


def natops_clips(root: Path, split: str) -> list[Clip]:
    """``gGGsSSpPP/*.png``, one folder a repetition."""
    subjects = {"train": NATOPS_TRAIN, "test": NATOPS_TEST}.get(split, ())
    clips: list[Clip] = []
    for path, (gesture, subject, _) in _matching(root, r"g(\d+)s(\d+)p(\d+)"):
        if subject in subjects and 1 <= gesture <= len(NATOPS_LABELS):
            clip = _pictures(path, label=NATOPS_LABELS[gesture - 1], subject=str(subject), box=NATOPS_BOX)
            clips += [clip] if clip else []
    return clips


def _matching(root: Path, pattern: str) -> list[tuple[Path, tuple[int, ...]]]:
    """What lies in a folder under names of a form, with the numbers in them, in their order."""
    found = [(path, re.fullmatch(pattern, path.name)) for path in root.iterdir()]
    there = [(path, tuple(int(n) for n in match.groups()[:3])) for path, match in found if match]
    return sorted(there, key=lambda item: (item[1], item[0].name))


def _pictures(folder: Path, **known) -> PictureClip | None:
    paths = tuple(sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES))
    return PictureClip(folder, paths, **known) if paths else None


def folder_clips(root: Path, split: str, *, whole: bool) -> list[Clip]:
    """The kept sequences of a split of a dataset folder; their label is the folder that their video lay in.

    Args:
        whole: all frames of each sequence rather than those that its file holds.
    """
    from data.dataset.manifest import load_manifest

    return [
        SequenceClip(root, row, whole=whole, label=Path(row["source"]).parent.name or None)
        for row in load_manifest(root)
        if row["status"] == "kept" and row["split"] == split
    ]


# layout -> (its clips, what a folder of it holds)
LAYOUTS: dict[str, tuple[Callable[[Path, str], list[Clip]], str]] = {
    "mug": (mug_clips, "SUBJECT/EXPRESSION/TAKE/*.jpg"),
    "mhad": (mhad_clips, "aA_sS_tT/*.png or aA_sS_tT_color.avi"),
    "natops": (natops_clips, "gGGsSSpPP/*.png"),
}


def find_clips(root: Path, split: str, *, layout: str = "dataset", whole: bool = False) -> list[Clip]:
    """Clips of a split; none where a data set has no such split.

    Args:
        layout: ``dataset`` for a folder of `data.prepare`, or one of :data:`LAYOUTS`.
        whole: see :func:`folder_clips`.

    Raises:
        ValueError: no such folder, or a training split without clips, with what was expected.
    """
    if split not in SPLITS:
        raise ValueError(f"split {split!r}: expected one of {', '.join(SPLITS)}")
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder")
    if layout == "dataset":
        clips, expected = folder_clips(root, split, whole=whole), "kept sequences; see its manifest.csv"
    elif layout in LAYOUTS:
        find, expected = LAYOUTS[layout]
        clips = find(root, split)
    else:
        raise ValueError(f"layout {layout!r}: expected dataset, {', '.join(LAYOUTS)}")
    if not clips and split != "validation":
        raise ValueError(f"{root}: no {split} clips of the layout {layout}, which holds {expected}")
    return clips


def labels_of(clips: list[Clip]) -> tuple[str, ...]:
    """The labels of clips in alphabetical order.

    Raises:
        ValueError: a clip without a label.
    """
    bare = next((clip for clip in clips if clip.label is None), None)
    if bare is not None:
        raise ValueError(
            f"{bare.name}: has no label; put videos into folders named by their labels before data.prepare, or train "
            "with --condition none"
        )
    return tuple(sorted({clip.label for clip in clips if clip.label is not None}))
