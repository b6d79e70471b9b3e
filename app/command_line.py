"""The options of generate.py, which the server takes as its defaults."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.files import PREVIEWS
from common.command_line import OneLineParser, add_common_options
from common.option_types import few
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


def build_parser(description: str) -> argparse.ArgumentParser:
    """The parser under this description."""
    parser = OneLineParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("photos", nargs="*", type=Path, metavar="PHOTO", help=PHOTO_HELP)
    add("-o", "--output", metavar="OUT", help=OUTPUT_HELP)
    add("--skip-existing", action="store_true", help="leave out photos whose files are all there")
    add(
        "--checkpoint",
        metavar="DIR",
        help="folder or hub id of the models (default: those that come with the repository)",
    )
    add_sampling_options(parser.add_argument_group("motion"))
    add_loop_options(parser.add_argument_group("loop"))
    add_region_options(parser.add_argument_group("where"))
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
    add(
        "--steps",
        type=int,
        metavar="N",
        help=f"sampling steps (default: the model's own, {DEFAULT_STEPS} where it names none)",
    )
    add(
        "--sampler",
        choices=SAMPLERS,
        help=f"diffusion sampler (default: the model's own, {DEFAULT_SAMPLER} where it names none)",
    )
    add(
        "--guidance",
        type=float,
        metavar="W",
        help="weight of classifier-free guidance (default: the model's own, 1 where it names none)",
    )
    add("--loop-guidance", type=float, default=0.0, metavar="U", help=LOOP_GUIDANCE_HELP)
    add("--recurrence", type=int, default=0, metavar="N", help=RECURRENCE_HELP)
    add("--save-motion", type=Path, metavar="F", help="write the sampled motion (.safetensors)")
    add("--motion", type=Path, metavar="F", help="render this saved motion instead of sampling one")
    add("--variations", type=few, metavar="N", help=VARIATIONS_HELP)
    add("--pick", type=few, metavar="K", help="render motion K of --variations, with the same -o")


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


def add_region_options(group: argparse._ArgumentGroup) -> None:
    """Where the photo may move."""
    add = group.add_argument
    add("--mask", type=Path, metavar="FILE", help=MASK_HELP)
    add("--still", action="append", default=[], metavar="X,Y,R", help=STILL_HELP)
    add("--move", action="append", default=[], metavar="X,Y,R", help=MOVE_HELP)


def add_file_options(group: argparse._ArgumentGroup) -> None:
    """What is written beside the loop."""
    add = group.add_argument
    add("--viewer", type=Path, metavar="PAGE.html", help=VIEWER_HELP)
    add("--preview", choices=PREVIEWS, help="also write a small animation, OUT_preview, for a web page")
    add("--show-motion", action="store_true", help="also write OUT_motion.png: amplitude, direction, spectrum")
    add("--xt-slice", type=int, metavar="ROW", help="also write OUT_xt.png: this row of every frame, time downwards")


PHOTO_HELP = "photos to animate, folders of photos, or - for standard input"
OUTPUT_HELP = """a file ending in .mp4 .mov .webm .gif .webp .png .apng, a folder, or - for an MP4 on standard output
    (default: outputs/)"""
LOOP_GUIDANCE_HELP = """strength of guidance towards a seamless loop; 5 to 15 for models trained on clips that do not
    loop (default: 0)"""
RECURRENCE_HELP = """how often each step is noised again and repeated, so that loop guidance has more effect; 2 in the
    paper (default: 0)"""
WIND_HELP = f"""how hard the wind blows: {", ".join(WINDS)} or a factor on breeze, for a motion model that was trained
    with wind (default: breeze)"""
NUM_FRAMES_HELP = f"frames of the loop (default: {NUM_FRAMES}; with --poke, until the motion has died out)"
POKE_HELP = """instead of a loop, pull the point X,Y by DX,DY, in pixels of the photo as given, from T seconds on
    (default: 0), and let it go; may be repeated"""
VARIATIONS_HELP = """sample N motions, with the seeds from --seed on, and show them side by side in a small video,
    OUT_variations; the motions are kept as OUT_1.safetensors and so on"""
MASK_HELP = """a picture in the photo's shape: what is white in it moves, what is black stays, what is gray moves in
    part"""
STILL_HELP = "keep what is within R pixels of the point X,Y still; in pixels of the photo as given; may be repeated"
MOVE_HELP = """let what is within R pixels of X,Y move, and without --mask nothing else; may be repeated"""
VIEWER_HELP = """also write a page on which the photo can be poked: one file, with the loop inside, that needs no
    network"""
SERVE_HELP = """serve a page at http://127.0.0.1:PORT/ that animates photos dropped on it, until Ctrl-C; the options of
    motion and rendering set its defaults"""
