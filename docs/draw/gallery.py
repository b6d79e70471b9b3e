"""Make a gallery: a folder of small loops and a page that shows them with the credits of their photos, failures too.

python -m docs.draw.gallery OUT PHOTO... --credits credits.csv
python -m docs.draw.gallery OUT PHOTO... --credits credits.csv --skip-existing    the page again, for another remark

PHOTO is a photo or a folder of them. The CSV has a row for each photo, with the columns file, author, licence and
source, and if you like failure: what is wrong with the loop, by somebody who has looked at it. Failures are shown in a
part of their own, and so are loops in which hardly anything moves or that jump where they start again, and photos of
which no loop could be made. OUT/index.html needs the loops beside it and nothing else.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from app.files import LoopFiles, plan_files
from app.hints import STILL
from app.options import FileOptions, LoopOptions, Playing, Rendering, Sampling
from app.photos import find_photos
from app.terminal import VISIBLE_SEAM, Bars, warn
from common.command_line import OneLineParser, PartFailure, one_line, run_script, select_device
from common.files import write_text
from common.option_types import few, frame_rate
from common.output_paths import check_paths
from common.page import write_page
from common.plain import from_plain, read_json
from docs.draw.gallery_page import Credit, Exhibit, gallery_page
from models.choices import FPS, NUM_FRAMES

if TYPE_CHECKING:
    from app.make import MadeLoop
    from models.pipeline import ImageDynamicsPipeline

COLUMNS = ("file", "author", "licence", "source")
PAGE, RECORD = "index.html", "gallery.json"


def build_parser() -> argparse.ArgumentParser:
    """The command line of this module."""
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("out", type=Path, metavar="OUT", help="the folder of the gallery")
    add("photos", type=Path, nargs="+", metavar="PHOTO", help="photos, or folders of photos")
    add("--credits", type=Path, required=True, metavar="FILE.csv", help="who made each photo, under which licence")
    add("--skip-existing", action="store_true", help="keep loops that an earlier run made, and write the page anew")
    add("--title", default="Photos that move", help="title of the page (default: %(default)s)")
    add("--long-side", type=few, default=320, metavar="N", help="pixels of a loop's longer side (default: %(default)s)")
    add("--fps", type=frame_rate, default=15.0, help="frames a second (default: %(default)g)")
    add("--magnify", type=float, default=1.0, metavar="A", help="factor on the motion's amplitude (default: 1)")
    add("--seed", type=int, default=0, help="number of the motions (default: 0)")
    add("--checkpoint", metavar="DIR", help="folder or hub id of the models (default: those of the repository)")
    add("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"), help="(default: %(default)s)")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_script(make_gallery, build_parser().parse_args(argv))


def make_gallery(arguments: argparse.Namespace) -> None:
    """Make the loops and the page."""
    out = arguments.out
    photos = find_photos(arguments.photos)
    credits = read_credits(arguments.credits, photos)
    planned = plan_files(photos, FileOptions(output=f"{out}/"))
    outputs = [*(files.loop for files in planned), out / PAGE, out / RECORD]
    check_paths(inputs=[*photos, arguments.credits], files=outputs)
    options = LoopOptions(
        Sampling(seed=arguments.seed),
        Playing(
            num_frames=max(2, round(arguments.fps * NUM_FRAMES / FPS)), fps=arguments.fps, magnify=arguments.magnify
        ),
        Rendering(long_side=arguments.long_side),
    )
    record = read_record(out / RECORD) if arguments.skip_existing else {}
    exhibits = {name: exhibit for name, exhibit in record.items() if exhibit.loop and (out / exhibit.loop).is_file()}
    todo = [files for files in planned if str(files.photo) not in exhibits]
    for photo, exhibit in make_exhibits(todo, options, checkpoint=arguments.checkpoint, device=arguments.device):
        exhibits[photo] = exhibit
        write_text(out / RECORD, json.dumps({key: asdict(one) for key, one in exhibits.items()}, indent=1) + "\n")
    shown = [exhibits[str(files.photo)] for files in planned]
    write_page(out / PAGE, gallery_page(arguments.title, shown, credits=credits))
    print(out / PAGE)
    missing = sum(exhibit.loop is None for exhibit in shown)
    if missing:
        raise PartFailure([f"{missing} of {len(shown)} photos have no loop, the page says why"])


def read_credits(path: Path, photos: Sequence[Path]) -> dict[str, Credit]:
    """The credits of these photos by file name.

    Raises:
        ValueError: no CSV with these columns, photos without author, licence or source, or two of one name.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: no CSV in UTF-8 ({error})") from None
    lacking = [name for name in COLUMNS if rows and name not in rows[0]]
    if lacking or not rows:
        raise ValueError(f"{path}: a CSV with the columns {', '.join(COLUMNS)} is needed; add them, and a row a photo")
    found = {row["file"]: row for row in rows if all((row[name] or "").strip() for name in COLUMNS)}
    twice = [name for name, count in Counter(photo.name for photo in photos).items() if count > 1]
    if twice:
        raise ValueError(f"{path}: two photos are called {twice[0]}, which are told apart by name; rename one")
    without = [photo.name for photo in photos if photo.name not in found]
    if without:
        more = f" and {len(without) - 1} more" if without[1:] else ""
        raise ValueError(
            f"{path}: no author, licence and source of {without[0]}{more}; add them, or leave the photo out"
        )
    rows_of = {photo.name: found[photo.name] for photo in photos}
    failures = {name: (row.get("failure") or "").strip() for name, row in rows_of.items()}
    return {name: Credit(row["author"], row["licence"], row["source"], failures[name]) for name, row in rows_of.items()}


def read_record(path: Path) -> dict[str, Exhibit]:
    """What an earlier run made, by photo; nothing where there was none.

    Raises:
        ValueError: the file is not one of ours.
    """
    if not path.is_file():
        return {}
    return {key: from_plain(Exhibit, one, f"{path}: {key}") for key, one in read_json(path).items()}


def make_exhibits(
    planned: Sequence[LoopFiles], options: LoopOptions, *, checkpoint: str | None, device: str
) -> Iterator[tuple[str, Exhibit]]:
    """Make the loops; each photo with what became of it, those of which none could be made last."""
    from app.make import make_loops
    from common.stopwatch import Stopwatch

    failures: list[tuple[str, Exhibit]] = []

    def load() -> ImageDynamicsPipeline:
        from models.pipeline import PRETRAINED, ImageDynamicsPipeline

        return ImageDynamicsPipeline.from_pretrained(checkpoint or PRETRAINED).to(select_device(device))

    def failed(files: LoopFiles, error: Exception) -> None:
        problem = one_line(error).replace(f"{files.photo}: ", "")  # a path says nothing on the page
        failures.append((str(files.photo), Exhibit(files.photo.name, None, None, f"no loop could be made: {problem}")))
        warn(one_line(error))

    bars = Bars(len(planned))
    for made in make_loops(planned, options, load, watch=Stopwatch(), progress=bars, warn=warn, failed=failed):
        files, report = made.assignment.files, made.report()
        size = (report["size"][0], report["size"][1])
        yield str(files.photo), Exhibit(files.photo.name, files.loop.name, size, problem_of(made))
    yield from failures


def problem_of(made: MadeLoop) -> str:
    """What can be told of a loop without looking at it; nothing where nothing is wrong."""
    if made.animation.moving.strength < STILL:
        return "hardly anything moves"
    seam = made.written.seam if made.written else None
    return f"it jumps where it starts again (seam ratio {seam:.2f})" if seam and seam > VISIBLE_SEAM else ""


if __name__ == "__main__":
    sys.exit(main())
