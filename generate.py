"""Turn a photo of something that sways into a seamlessly looping video.

python generate.py photo.jpg                                  outputs/photo.mp4: 5 seconds, the photo's aspect ratio
python generate.py photo.jpg -o loop.webp --seed 3            another motion, as an animated picture
python generate.py photo.jpg --save-motion sway.safetensors   keep the motion ...
python generate.py photo.jpg --motion sway.safetensors --magnify 2 --slow 2 --size native -o slow.mp4
                                                              ... and render it again, larger, stronger and slower
python generate.py photo.jpg --poke 320,140,40,-10 -o poked.mp4
                                                              pull a point 40 pixels right and 10 up and let it go
python generate.py photo.jpg --viewer page.html               also a page on which the photo can be poked by hand
python generate.py holiday/*.jpg -o loops/                    many photos
python generate.py --serve                                    a page on this machine to drop photos on
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from app.files import plan_files
from app.options import FileOptions, LoopOptions, Playing, Rendering, Sampling, expect_range
from common.command_line import OneLineParser, add_common_options, options_of, run_script, select_device, write_report
from common.output_paths import check_paths
from common.stopwatch import Stopwatch
from models.choices import (
    DEFAULT_RENDERER,
    DEFAULT_SAMPLER,
    DEFAULT_STEPS,
    FPS,
    NUM_FRAMES,
    RENDERERS,
    SAMPLERS,
    WINDS,
    wind_type,
)

if TYPE_CHECKING:
    from models.pipeline import ImageDynamicsPipeline

Options = TypeVar("Options")


def build_parser() -> argparse.ArgumentParser:
    """The command line of this script."""
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("photos", nargs="*", type=Path, metavar="PHOTO", help="photos to animate")
    add("-o", "--output", metavar="OUT", help="a file ending in .mp4 .gif .webp .png, or a folder (default: outputs/)")
    add(
        "--checkpoint",
        metavar="DIR",
        help="folder or hub id of the models (default: those that come with the repository)",
    )
    add_sampling_options(parser.add_argument_group("motion"))
    add_loop_options(parser.add_argument_group("loop"))
    add_file_options(parser.add_argument_group("further files"))
    add("--serve", action="store_true", help=SERVE_HELP)
    add(
        "--port", type=int, default=8573, metavar="N", help="port of --serve; 0 takes a free one (default: %(default)s)"
    )
    add_common_options(parser)
    return parser


def add_sampling_options(group: argparse._ArgumentGroup) -> None:
    """How the motion is sampled, or where it comes from."""
    add = group.add_argument
    add("--steps", type=int, metavar="N", help=f"sampling steps (default: the model's, mostly {DEFAULT_STEPS})")
    add("--sampler", choices=SAMPLERS, help=f"diffusion sampler (default: the model's, mostly {DEFAULT_SAMPLER})")
    add(
        "--guidance",
        type=float,
        metavar="W",
        help="weight of classifier-free guidance (default: the model's, mostly 1)",
    )
    add("--loop-guidance", type=float, default=0.0, metavar="U", help=LOOP_GUIDANCE_HELP)
    add("--recurrence", type=int, default=0, metavar="N", help=RECURRENCE_HELP)
    add("--save-motion", type=Path, metavar="F", help="write the sampled motion (.safetensors)")
    add("--motion", type=Path, metavar="F", help="render this saved motion instead of sampling one")


def add_loop_options(group: argparse._ArgumentGroup) -> None:
    """How the motion plays and how frames are drawn."""
    add = group.add_argument
    add("--num-frames", type=int, metavar="N", help=NUM_FRAMES_HELP)
    add("--fps", type=float, default=FPS, help="frames a second (default: %(default)g)")
    add(
        "--size",
        metavar="native|WxH",
        help="size of the frames: the photo's own, or its centre at WxH (default: the "
        "photo's shape, at most 512 pixels)",
    )
    add("--wind", type=wind_type(), metavar="W", help=WIND_HELP)
    add("--magnify", type=float, default=1.0, metavar="A", help="factor on the motion's amplitude (default: 1)")
    add("--slow", type=float, default=1.0, metavar="S", help="slow motion: S times as many frames (default: 1)")
    add(
        "--renderer",
        choices=RENDERERS,
        default=DEFAULT_RENDERER,
        help="what turns motion into frames (default: %(default)s)",
    )
    add("--poke", action="append", default=[], metavar="X,Y,DX,DY[@T]", help=POKE_HELP)


def add_file_options(group: argparse._ArgumentGroup) -> None:
    """What is written beside the loop."""
    add = group.add_argument
    add("--viewer", type=Path, metavar="PAGE.html", help=VIEWER_HELP)
    add("--preview", choices=("webp", "gif", "png"), help="also write a small animation, OUT_preview, for a web page")
    add("--show-motion", action="store_true", help="also write OUT_motion.png: amplitude, direction, spectrum")
    add("--xt-slice", type=int, metavar="ROW", help="also write OUT_xt.png: this row of every frame, time downwards")


LOOP_GUIDANCE_HELP = """strength of guidance towards a seamless loop; 5 to 15 for models trained on clips that do not
    loop (default: 0)"""
RECURRENCE_HELP = """how often each step is noised again and repeated, so that loop guidance has more effect; 2 in the
    paper (default: 0)"""
WIND_HELP = f"""how hard the wind blows: {", ".join(WINDS)} or a factor on breeze, for a motion model that was trained
    with wind (default: breeze)"""
NUM_FRAMES_HELP = f"frames of the loop (default: {NUM_FRAMES}; with --poke, until the motion has died out)"
POKE_HELP = """instead of a loop, pull the point X,Y by DX,DY, in pixels of the photo as given, from T seconds on
    (default: 0), and let it go; may be repeated"""
VIEWER_HELP = """also write a page on which the photo can be poked: one file, with the loop inside, that needs no
    network"""
SERVE_HELP = """serve a page at http://127.0.0.1:PORT/ that animates photos dropped on it, until Ctrl-C; the options of
    motion and rendering set its defaults"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_script(generate, build_parser().parse_args(argv))


def generate(arguments: argparse.Namespace) -> None:
    """Turn the command line into options, then serve the page, or make the loops and report what was made."""
    options, files = read_options(arguments)
    load = partial(load_pipeline, arguments.checkpoint, arguments.device, options, sample=files.motion is None)
    if arguments.serve:
        from app.server.serve import check_alone, serve

        check_alone(files, photos=arguments.photos, pokes=options.playing.pokes, report=arguments.report)
        return serve(options, port=arguments.port, load=load)
    seconds, results = make(arguments.photos, options, files, report=arguments.report, load=load)
    stages = ", ".join(f"{stage} {value:.1f} s" for stage, value in seconds.items())
    print(f"{stages}; {sum(seconds.values()):.1f} s in all")
    write_report(arguments.report, "generate.py", arguments, {"seconds": seconds, "results": results})


def read_options(arguments: argparse.Namespace) -> tuple[LoopOptions, FileOptions]:
    """The command line as options.

    Raises:
        ValueError: numbers out of range, and options that don't go together.
    """
    from models.dynamics.pokes import Poke

    pokes = tuple(Poke.parse(text) for text in arguments.poke)
    if arguments.num_frames is None and not pokes:
        arguments.num_frames = NUM_FRAMES
    playing, rendering = options_of(Playing, arguments, pokes=pokes), options_of(Rendering, arguments)
    options = LoopOptions(options_of(Sampling, arguments), playing, rendering)
    files = options_of(FileOptions, arguments)
    expect_range("port", arguments.port, 0, 65535)
    if not (arguments.photos or arguments.serve):
        raise ValueError("no photo is given; name one, or use --serve for a page to drop photos on")
    if len(arguments.photos) > 1 and (pokes or files.of_one_photo):
        raise ValueError("--motion, --save-motion, --poke and --viewer belong to one photo; give one photo at a time")
    return options, files


def load_pipeline(checkpoint: str | None, device: str, options: LoopOptions, *, sample: bool) -> ImageDynamicsPipeline:
    """Only the models that this run needs, on its device."""
    chosen = select_device(device)
    from models.pipeline import PRETRAINED, ImageDynamicsPipeline

    parts = ["motion"] if sample else []
    parts += ["frame_synthesis"] if options.rendering.renderer == DEFAULT_RENDERER else []
    return ImageDynamicsPipeline.from_pretrained(checkpoint or PRETRAINED, parts).to(chosen)


def make(
    photos: Sequence[Path],
    options: LoopOptions,
    files: FileOptions,
    *,
    report: Path | None,
    load: Callable[[], ImageDynamicsPipeline],
) -> tuple[dict[str, float], list[dict]]:
    """Make the loops one after the other; returns the seconds of each stage, and what a report says of each loop."""
    from app.make import make_loops
    from app.terminal import Bars, describe, warn

    watch, results = Stopwatch(), []
    with watch("load"):
        planned = plan_files(photos, files)
        outputs = [path for one in planned for path in one.outputs()]
        check_paths(inputs=(*photos, files.motion), files=(*outputs, report))
    for made in make_loops(planned, options, load, motion=files.motion, watch=watch, progress=Bars(), warn=warn):
        results.append(made.report())
        describe(results[-1])
    return {stage: round(value, 3) for stage, value in watch.seconds.items()}, results


if __name__ == "__main__":
    sys.exit(main())
