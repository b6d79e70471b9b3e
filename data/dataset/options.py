"""Options of a dataset folder: which split a source goes to, which sequences there are and how they are computed."""

from __future__ import annotations

from dataclasses import dataclass

from data.footage.frames import WHOLE, Crop

EXACT = "exact"  # the estimator in the manifest, of motion that was made and not measured


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """Which split a video or photo belongs to, and what the files of a split hold.

    Raises:
        ValueError: ``full`` contradicts itself.
    """

    split: tuple[float, ...] = (0.9, 0.05, 0.05)  # shares of train, validation and test, which add up to 1
    validation: tuple[str, ...] = ()  # globs: file names that go to this split whatever the shares
    test: tuple[str, ...] = ()
    full: tuple[str, ...] = ("test",)  # splits whose files hold all frames and flows, or "none"
    seed: int = 0

    def __post_init__(self) -> None:
        if "none" in self.full and len(self.full) > 1:
            raise ValueError("--full none can't be combined with splits; name the splits, or none alone")

    @property
    def pinned(self) -> dict[str, tuple[str, ...]]:
        """Split -> globs of the names that are pinned to it."""
        return {"validation": self.validation, "test": self.test}


@dataclass(frozen=True, kw_only=True)
class PrepareOptions(SplitOptions):
    """Everything besides the videos that the contents of a dataset folder depend on.

    A shard records these options as JSON; merging reads them back.

    Raises:
        ValueError: options that contradict each other.
    """

    size: tuple[int, int] = (256, 160)  # width and height of the sequences
    fps: float = 30.0
    num_frames: int = 150  # frames of a sequence
    stride: int = 10  # frames between the starts of sequences
    num_frequencies: int = 24
    stored_frames: int = 10  # later frames that a file keeps with their flow
    flow: str = "coarse2fine"  # a key of data.flow.estimators.ESTIMATORS
    wrap: bool = False  # the clips loop
    max_sequences_per_video: int | None = None
    min_motion: float = 0.3  # pixels at a width of 256, of what moves most
    keep_all: bool = False  # no filters
    crop: Crop = WHOLE  # see data.footage.frames.View
    stabilize: bool = False
    one_shot: bool = False  # cuts are not looked for
    keep_duplicates: bool = False
    min_median_motion: float = 0.0  # pixels of median magnitude; 0 for no filter, as below
    max_median_motion: float = 0.0
    min_consistency: float = 0.0  # share of pixels
    consistency_frames: int = 15  # frames in which the consistency is measured

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stabilize and self.wrap:
            raise ValueError("--stabilize can't be combined with --wrap: a drift that is removed does not loop")
        if self.min_consistency and not self.consistency_frames:
            raise ValueError("--min-consistency needs --consistency-frames above 0")
