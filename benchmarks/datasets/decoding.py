"""What it saves to decode overlapping sequences of a video one after the other, in place of each from the beginning.

Examples:
  python -m benchmarks.datasets.decoding clip.mp4
  python -m benchmarks.datasets.decoding clip.mp4 --size 512x288 --stride 30 --report decoding.json
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks.timing import benchmark_parser, require_cpu
from common.command_line import run_script, write_report
from common.option_types import count, frame_count, frame_size

RESUMED, ANEW = "resumed where the last one stopped", "each from the beginning"


def main(argv: list[str] | None = None) -> int:
    """Measure, print a table, and return the exit status."""
    parser = benchmark_parser("datasets.decoding", __doc__, threads=1)
    parser.add_argument("video", type=Path, metavar="VIDEO", help="a video of more frames than a sequence has")
    parser.add_argument("--size", type=frame_size, default=(256, 160), metavar="WxH", help="frames (default: 256x160)")
    text = "frames of a sequence (default: 150)"
    parser.add_argument("--num-frames", type=frame_count, default=150, metavar="T", help=text)
    parser.add_argument("--stride", type=count, default=10, help="frames from start to start (default: 10)")
    text = "decode every Nth sequence from the beginning (default: 16)"
    parser.add_argument("--every", type=count, default=16, metavar="N", help=text)
    return run_script(_run, parser.parse_args(argv))


def _run(arguments: argparse.Namespace) -> None:
    import cv2

    require_cpu(arguments.device)
    cv2.setNumThreads(arguments.threads)
    seconds = measure(
        arguments.video,
        size=arguments.size,
        num_frames=arguments.num_frames,
        stride=arguments.stride,
        every=arguments.every,
    )
    for name, value in seconds.items():
        print(f"{name:<38}{value:>8.2f} CPU seconds a sequence")
    write_report(
        arguments.report, "benchmarks.datasets.decoding", arguments, {"results": {"cpu_seconds_a_sequence": seconds}}
    )


def measure(video: Path, *, size: tuple[int, int], num_frames: int, stride: int, every: int) -> dict[str, float]:
    """CPU seconds a sequence in both ways; the second is the mean of every so many sequences.

    Raises:
        ValueError: the video is shorter than a sequence.
    """
    from data.media.read_video import FrameReader, read_frames, scan_video

    length = scan_video(video).num_frames
    starts = range(0, length - num_frames + 1, stride)
    if not starts:
        raise ValueError(f"{video}: has {length} frames, fewer than the {num_frames} of a sequence; lower --num-frames")
    begin = time.process_time()
    reader = FrameReader(video, size=size)
    for start in starts:
        reader.read(range(start, start + num_frames))
    reader.close()
    middle = time.process_time()
    for start in starts[::every]:
        read_frames(video, range(start, start + num_frames), size=size)
    end = time.process_time()
    return {RESUMED: (middle - begin) / len(starts), ANEW: (end - middle) / len(starts[::every])}


if __name__ == "__main__":
    sys.exit(main())
