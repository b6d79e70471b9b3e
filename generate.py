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
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from app.files import FrameRecorder, LoopFiles, check_paths, counted, plan_files
from app.options import check_options
from common.command_line import add_common_options, run_script, select_device, write_report
from common.stopwatch import Stopwatch

if TYPE_CHECKING:
    from torch import Tensor

    from models.dynamics.motion_file import MotionFile
    from models.dynamics.pokes import Poke
    from models.pipeline import ImageDynamicsPipeline

# Repeated from the models' registries, whose import would make --help slow; a test compares them.
SAMPLERS = ("dpmsolver++", "ddim", "ddpm")
RENDERERS = ("model", "softmax", "average", "linear", "remap")
NUM_FRAMES = 150


def build_parser() -> argparse.ArgumentParser:
    """The command line of this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("photos", nargs="*", type=Path, metavar="PHOTO")
    add("-o", "--output", metavar="OUT", help="a file ending in .mp4 .gif .webp .png, or a folder (default: outputs/)")
    add("--checkpoint", metavar="DIR", help="models: a folder or hub id (default: those that come with the repository)")
    add("--steps", type=int, default=20, metavar="N", help="sampling steps (default: 20)")
    add("--sampler", choices=SAMPLERS, default=SAMPLERS[0])
    add("--guidance", type=float, metavar="W", help="classifier-free guidance (default: the model's, mostly 1)")
    add("--loop-guidance", type=float, default=0.0, metavar="U", help="guidance to a smooth wrap-around, for models of "
        "clips that do not loop: 5 to 15 (default: 0)")  # fmt: skip
    add("--recurrence", type=int, default=0, metavar="N", help="times that each step is noised again and repeated, so "
        "that loop guidance acts more often; the paper's is 2 (default: 0)")  # fmt: skip
    add("--num-frames", type=int, metavar="N", help=f"frames of the loop (default: {NUM_FRAMES}; with --poke, until "
        "all is at rest)")  # fmt: skip
    add("--fps", type=float, default=30.0, help="frames a second (default: 30)")
    add("--size", metavar="native|WxH", help="default: the photo's shape, at most 512 pixels; WxH shows its centre")
    add("--magnify", type=float, default=1.0, metavar="A", help="amplitude of the motion (default: 1)")
    add("--slow", type=float, default=1.0, metavar="S", help="slow motion: S times as many frames (default: 1)")
    add("--renderer", choices=RENDERERS, default=RENDERERS[0])
    add("--save-motion", type=Path, metavar="F", help="write the sampled motion (.safetensors)")
    add("--motion", type=Path, metavar="F", help="render this saved motion instead of sampling one")
    add("--poke", action="append", default=[], metavar="X,Y,DX,DY[@T]", help="no loop: pull the point X,Y by DX,DY, in "
        "pixels of the photo as given, from T seconds on (default: 0), and let it go; may be repeated")  # fmt: skip
    add("--viewer", type=Path, metavar="PAGE.html", help="also write a page on which the photo can be poked: one file, "
        "with the loop inside, that needs no network")  # fmt: skip
    add("--preview", choices=("webp", "gif", "png"), help="also write a small animation, OUT_preview, for a web page")
    add("--show-motion", action="store_true", help="also write OUT_motion.png: amplitude, direction, spectrum")
    add("--xt-slice", type=int, metavar="ROW", help="also write OUT_xt.png: this row of every frame, time downwards")
    add("--serve", action="store_true", help="show a page at http://127.0.0.1:PORT/ that makes loops of photos dropped "
        "on it, until Ctrl-C; the options about motion and rendering are its defaults")  # fmt: skip
    add("--port", type=int, default=8573, metavar="N", help="of --serve; 0: any free one (default: 8573)")
    add_common_options(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_script(generate, build_parser().parse_args(argv))


def generate(arguments: argparse.Namespace) -> None:
    """Check all that is cheap to check, then make the loops one after the other."""
    check_options(arguments)
    if not (arguments.num_frames or arguments.poke):
        arguments.num_frames = NUM_FRAMES
    if arguments.serve:
        from app.server.serve import serve

        return serve(arguments, partial(load_pipeline, arguments))
    watch = Stopwatch()
    with watch("load"):
        planned = plan_files(
            arguments.photos, arguments.output, arguments.size, arguments.preview,
            arguments.show_motion, arguments.xt_slice,
        )  # fmt: skip
        outputs = [path for files in planned for path in files.outputs()]
        check_paths(
            (*arguments.photos, arguments.motion), [*outputs, arguments.viewer, arguments.save_motion, arguments.report]
        )
        pokes = read_pokes(arguments, planned[0])
        motion_file = read_motion_file(arguments, planned[0])
        pipeline = load_pipeline(arguments)
    results = []
    for files in planned:
        results.append(make_loop(files, arguments, pipeline, motion_file, pokes, watch))
        describe(results[-1])
    seconds = {stage: round(value, 3) for stage, value in watch.seconds.items()}
    stages = ", ".join(f"{stage} {value:.1f} s" for stage, value in seconds.items())
    print(f"{stages}; {sum(seconds.values()):.1f} s in all")
    write_report(arguments.report, "generate.py", arguments, {"seconds": seconds, "results": results})


def read_pokes(arguments: argparse.Namespace, files: LoopFiles) -> list[Poke]:
    """What ``--poke`` says, checked against the photo."""
    from models.dynamics.pokes import Poke

    pokes = [Poke.parse(text) for text in arguments.poke]
    for poke in pokes:
        poke.check(files.photo_size, arguments.num_frames and arguments.num_frames / arguments.fps)
    return pokes


def read_motion_file(arguments: argparse.Namespace, files: LoopFiles) -> MotionFile | None:
    """The file of ``--motion``, checked against the photo."""
    if arguments.motion is None:
        return None
    from models.dynamics.motion_file import MotionFile

    motion_file = MotionFile.read(arguments.motion)
    warning = motion_file.check_photo(files.photo, files.photo_size)
    if warning:
        print(f"warning: {warning}", file=sys.stderr)
    return motion_file


def load_pipeline(arguments: argparse.Namespace) -> ImageDynamicsPipeline:
    """Only the models that this run needs."""
    device = select_device(arguments.device)
    from models.pipeline import PRETRAINED, ImageDynamicsPipeline

    parts = [] if arguments.motion else ["motion"]
    parts += ["frame_synthesis"] if arguments.renderer == "model" else []
    return ImageDynamicsPipeline.from_pretrained(arguments.checkpoint or PRETRAINED, parts).to(device)


def make_loop(
    files: LoopFiles,
    arguments: argparse.Namespace,
    pipeline: ImageDynamicsPipeline,
    motion_file: MotionFile | None,  # None: sample
    pokes: Sequence[Poke],  # none: a loop
    watch: Stopwatch,
) -> dict:
    """Make all files of one photo; returns what a report says about them."""
    from common.images import image_to_tensor
    from data.media.images import read_image, write_image
    from data.media.pictures import motion_figure
    from data.media.write_video import write_video
    from models.dynamics.photo import motion_measures, photo_motion
    from models.dynamics.seam import SeamMeter

    photo = read_image(files.photo)
    image = image_to_tensor(photo)
    if motion_file is None:
        with watch("motion"):
            motion_file = sample_motion(files, image, arguments, pipeline)
    with watch("motion"):
        motion, warnings = photo_motion(
            motion_file, files.photo_size, pokes, arguments.num_frames, arguments.fps, arguments.slow, arguments.magnify
        )
        for warning in warnings:
            print(f"warning: {warning}", file=sys.stderr)
    count = len(motion.times)
    frames = pipeline.render_motion(image, motion, files.size, arguments.renderer, watch)
    period = motion_file.num_frames / motion_file.fps
    meter, recorder = SeamMeter(), FrameRecorder(files, count, arguments.fps)
    files.loop.parent.mkdir(parents=True, exist_ok=True)
    with watch("write"):
        write_video(files.loop, recorder.watch(counted(frames, count, meter)), arguments.fps)
        recorder.write()
        if files.motion:
            shown = motion_file.spectral_volume * arguments.magnify
            write_image(files.motion, motion_figure(photo, shown, motion_file.num_frames, motion_file.fps))
        if arguments.viewer:
            write_viewer(arguments, files, image, motion_file)
    return {
        "photo": str(files.photo),
        "outputs": [str(path) for path in [*files.outputs(), arguments.viewer, arguments.save_motion] if path],
        "size": list(files.size),
        "num_frames": count,
        "duration": count / arguments.fps,
        **motion_measures(motion, meter, period, arguments.fps, arguments.slow, files.size[0]),
    }


def write_viewer(arguments: argparse.Namespace, files: LoopFiles, image: Tensor, motion_file: MotionFile) -> None:
    """Write the page on which the photo can be poked, with the loop inside unless the video is one of a poke."""
    from dataclasses import replace

    from app.viewer.page import viewer_page
    from common.files import temporary_path

    shown = replace(motion_file, spectral_volume=motion_file.spectral_volume * arguments.magnify)
    page = viewer_page(image, shown, None if arguments.poke else files.loop, files.photo.stem)
    arguments.viewer.parent.mkdir(parents=True, exist_ok=True)
    with temporary_path(arguments.viewer) as temporary:
        temporary.write_text(page, encoding="utf-8")


def sample_motion(
    files: LoopFiles, image: Tensor, arguments: argparse.Namespace, pipeline: ImageDynamicsPipeline
) -> MotionFile:
    """Motion for a photo, written to ``--save-motion`` at once, before the long rendering."""
    from tqdm import tqdm

    from common.hashing import file_sha256
    from models.dynamics.motion_file import MotionFile

    with tqdm(total=arguments.steps, desc="motion", unit="step", disable=None) as bar:
        volume = pipeline.predict_motion(
            image, arguments.seed, arguments.steps, arguments.sampler, arguments.guidance, arguments.loop_guidance,
            arguments.recurrence, progress=lambda done, total: bar.update(done - bar.n),
        )  # fmt: skip
    config = pipeline.motion_config
    motion_file = MotionFile(volume[0], config.num_frames, config.fps, files.photo_size, file_sha256(files.photo))
    if arguments.save_motion:
        arguments.save_motion.parent.mkdir(parents=True, exist_ok=True)
        motion_file.write(arguments.save_motion)
    return motion_file


def describe(result: dict) -> None:
    """Tell what was made."""
    size = "{}x{}".format(*result["size"])
    frames = f"{result['num_frames']} frames of {size}, {result['duration']:.3g} s"
    print(f"{result['outputs'][0]}: {frames}, motion at {result['speed']:.2g} times its natural speed")
    for path in result["outputs"][1:]:
        print(path)
    if "largest_motion_pixels" in result:
        print(f"poked: the largest motion is {result['largest_motion_pixels']:.1f} pixels")
        return
    seams = [f"{result[key]:.2f}" if result[key] is not None else "none" for key in ("seam_ratio", "motion_seam_ratio")]
    print(f"seam ratio {seams[0]} (motion {seams[1]}), mean motion {result['mean_motion_pixels']:.2f} pixels")


if __name__ == "__main__":
    sys.exit(main())
