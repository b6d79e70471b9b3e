"""Turn a photo of something that sways into a seamlessly looping video.

python generate.py photo.jpg                                  outputs/photo.mp4: 5 seconds, the photo's aspect ratio
python generate.py photo.jpg -o loop.webp --seed 3            another motion, as an animated picture
python generate.py photo.jpg --variations 6                   six motions side by side, to choose from ...
python generate.py photo.jpg --pick 4                         ... and the fourth as a loop
python generate.py photo.jpg --save-motion sway.safetensors   keep the motion ...
python generate.py photo.jpg --motion sway.safetensors --magnify 2 --slow 2 --size native -o slow.mp4
                                                              ... and render it again, larger, stronger and slower
python generate.py photo.jpg --poke 320,140,40,-10 -o poked.mp4
                                                              pull a point 40 pixels right and 10 up and let it go
python generate.py photo.jpg --mask mask.png --still 90,60,40  only what is white in the mask moves, but not a face
python generate.py photo.jpg --viewer page.html               also a page on which the photo can be poked by hand
python generate.py holiday/ -o loops/ --skip-existing         all photos of a folder that have no loop yet
python generate.py - -o - < photo.jpg > loop.mp4              within a pipe
python generate.py --serve                                    a page on this machine to drop photos on
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import app.command_line
from app.files import LoopFiles, plan_files
from app.options import FileOptions, LoopOptions, Playing, Rendering, Sampling, expect_range
from app.photos import find_photos, set_pictures_apart
from app.streams import Streams, open_streams
from common.command_line import (
    PartFailure,
    ended_by_signals,
    one_line,
    options_of,
    run_script,
    select_device,
    write_report,
)
from common.option_types import LARGEST_SEED
from common.output_paths import check_paths
from common.stopwatch import Stopwatch
from models.choices import DEFAULT_RENDERER, NUM_FRAMES

if TYPE_CHECKING:
    from models.pipeline import ImageDynamicsPipeline

Options = TypeVar("Options")


def build_parser() -> argparse.ArgumentParser:
    """The command line of this script."""
    return app.command_line.build_parser(__doc__)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_script(generate, build_parser().parse_args(argv))


def generate(arguments: argparse.Namespace) -> None:
    """Turn the command line into options, then serve the page, or make the loops and report what was made."""
    options, files = read_options(arguments)
    sample = not (files.motion or files.pick)
    load = partial(load_pipeline, arguments.checkpoint, arguments.device, options, sample=sample)
    if arguments.serve:
        from app.server.serve import check_alone, serve

        check_alone(files, photos=arguments.photos, playing=options.playing, report=arguments.report)
        return serve(options, port=arguments.port, load=load)
    with ended_by_signals(), open_streams(arguments.photos, files) as streams:
        seconds, results, failures = make(streams, options, report=arguments.report, load=load)
        stages = ", ".join(f"{stage} {value:.1f} s" for stage, value in seconds.items())
        print(f"{stages}; {sum(seconds.values()):.1f} s in all")
        told = {"seconds": seconds, "results": results, "failures": failures}
        write_report(arguments.report, "generate.py", arguments, streams.shown(told))
    if failures:
        raise PartFailure([one["problem"] for one in failures])


def read_options(arguments: argparse.Namespace) -> tuple[LoopOptions, FileOptions]:
    """The command line as options.

    Raises:
        ValueError: numbers out of range, and options that don't go together.
    """
    from models.dynamics.pokes import Poke
    from models.dynamics.regions import Disc, Regions

    pokes = tuple(Poke.parse(text) for text in arguments.poke)
    regions = Regions(
        arguments.mask,
        still=tuple(Disc.parse(text, "still") for text in arguments.still),
        move=tuple(Disc.parse(text, "move") for text in arguments.move),
    )
    if arguments.num_frames is None and not pokes:
        arguments.num_frames = NUM_FRAMES
    playing, rendering = options_of(Playing, arguments, pokes=pokes, regions=regions), options_of(Rendering, arguments)
    options = LoopOptions(options_of(Sampling, arguments), playing, rendering)
    files = options_of(FileOptions, arguments)
    expect_range("port", arguments.port, 0, 65535)
    expect_range("seed", arguments.seed, 0, LARGEST_SEED + 1 - (files.variations or 1))  # those of all variations
    if not (arguments.photos or arguments.serve):
        raise ValueError("no photo is given; name one, or use --serve for a page to drop photos on")
    return options, files


def load_pipeline(checkpoint: str | None, device: str, options: LoopOptions, *, sample: bool) -> ImageDynamicsPipeline:
    """Only the models that this run needs, on its device."""
    chosen = select_device(device)
    from models.pipeline import PRETRAINED, ImageDynamicsPipeline

    parts = ["motion"] if sample else []
    parts += ["frame_synthesis"] if options.rendering.renderer == DEFAULT_RENDERER else []
    return ImageDynamicsPipeline.from_pretrained(checkpoint or PRETRAINED, parts).to(chosen)


def make(
    streams: Streams,
    options: LoopOptions,
    *,
    report: Path | None,
    load: Callable[[], ImageDynamicsPipeline],
) -> tuple[dict[str, float], list[dict], list[dict]]:
    """Make the loops one after the other.

    Returns:
        The seconds of each stage, what a report says of each loop, and of each photo that no loop could be made of.
    """
    from app.make import make_loops
    from app.terminal import Bars, describe, warn
    from app.variations import make_variations, picked

    def tell(line: str) -> None:
        warn(streams.shown(line))

    watch, files = Stopwatch(), streams.files
    results: list[dict] = []
    failures: list[dict] = []
    with watch("load"):
        planned, several = plan(streams, options, report)
        motion = picked(planned[0], files.pick) if files.pick and planned else files.motion
    if files.variations:
        for one in planned:
            with watch("load"):
                pipeline = load()
            sheet = make_variations(pipeline, one, options, watch=watch, progress=Bars(), warn=tell)
            results.append(streams.shown(sheet))
        print("\n".join(path for result in results for path in result["outputs"]))
        return watch.rounded(), results, failures

    def failed(one: LoopFiles, error: Exception) -> None:
        problem = streams.shown(one_line(error))
        failures.append({"photo": str(one.photo), "problem": problem})
        warn(problem)

    loops = make_loops(
        planned,
        options,
        load,
        motion=motion,
        watch=watch,
        progress=Bars(len(planned)),
        warn=tell,
        failed=failed if several else None,
    )
    for made in loops:
        results.append(made.report())
        describe(streams.shown(results[-1]))
    return watch.rounded(), results, failures


def plan(streams: Streams, options: LoopOptions, report: Path | None) -> tuple[list[LoopFiles], bool]:
    """The photos that are to be made and their files, all of them checked; and whether several photos were given."""
    files, playing = streams.files, options.playing
    found, pictures = set_pictures_apart(find_photos(streams.photos), streams.photos, output=files.output)
    if pictures:
        listed = ", ".join(map(str, pictures))
        print(f"left out, because their names are those of pictures that generate.py makes: {listed}")
    several = len(found) > 1
    if several and (playing.pokes or playing.regions or files.of_one_photo):
        own = "--motion, --save-motion, --poke, --mask, --still, --move, --viewer, --variations and --pick"
        raise ValueError(f"{own} belong to one photo; give one at a time")
    planned = plan_files(found, files)
    mask = playing.regions.file if playing.regions else None
    outputs = [path for one in planned for path in one.outputs()]
    check_paths(inputs=(*found, files.motion, mask), files=(*outputs, report))
    if files.skip_existing:
        planned = [one for one in planned if not one.are_there()]
        print(f"{len(found) - len(planned)} of {len(found)} photos have their files already")
    return planned, several


if __name__ == "__main__":
    sys.exit(main())
