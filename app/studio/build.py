"""Building the studio: checkpoint and npm package in, a folder of static files out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from app.studio.export import check_packages
from app.studio.folder import build_folder, check_output
from app.studio.networks import compare_sample, export_networks
from app.studio.runtime import runtime_files
from app.studio.weights import MIXED
from models.checkpoints import PRETRAINED
from models.photos import as_photo
from models.pipeline import ImageDynamicsPipeline

MOST_BYTES = 45_000_000  # of the folder; more is said


def build(
    output: Path,
    *,
    checkpoint: str | None = None,
    storage: str | Mapping[str, str] = MIXED,
    runtime: Path | None = None,
    photo: Path | None = None,
    say: Callable[[str], None] = print,
) -> dict:
    """Build the page.

    Args:
        output: its folder.
        checkpoint: folder or hub id; by default the checkpoint of the repository.
        storage: of the weights, as `app.studio.networks.export_networks` takes it.
        runtime: the npm package, where it is not to be fetched.
        photo: a photo of which a whole sample is compared with PyTorch's.
        say: told in one line each of what was made.

    Returns:
        What a report says: bytes of each file, and the differences of the sample.

    Raises:
        ValueError: in one line, for whatever keeps the page from being built.
    """
    check_output(output)
    check_packages()
    given = None if photo is None else as_photo(photo)
    runtimes = runtime_files(runtime)
    pipeline = ImageDynamicsPipeline.from_pretrained(checkpoint or PRETRAINED, parts=("motion",))
    model = pipeline.motion_model
    assert model is not None  # it was asked for
    networks = export_networks(model, storage, say)
    differences = None
    if given is not None:
        differences = asdict(compare_sample(networks, model, given))
        say(
            f"a whole sample of {photo}: differs from PyTorch's by {100 * differences['rms']:.2g} % (another seed by "
            f"{100 * differences['seeds']:.0f} %), by {differences['largest']:.2g} pixels at most; their maps of "
            f"amplitude correlate by {differences['amplitude']:.4f}"
        )
    manifest = build_folder(output, model, networks=networks, runtimes=runtimes)
    sizes = {name: told["bytes"] for name, told in manifest["files"].items()}
    total = sum(sizes.values())
    say(f"{output}: {len(sizes)} files, {total / 1e6:.1f} MB; any static web host can serve it")
    if total > MOST_BYTES:
        say(f"note: more than {MOST_BYTES / 1e6:.0f} MB; --weights int8 makes it smaller")
    return {"bytes": sizes, "total_bytes": total, "sample": differences}
