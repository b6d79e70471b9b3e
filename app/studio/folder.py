"""The built page: a folder of files that any static web host can serve, and the manifest that tells of them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from app.studio.runtime import PACKAGE, RUNTIMES, VERSION
from app.studio.schedule import sampler_steps
from app.studio.source import FORMAT, FORMAT_VERSION, MANIFEST, SERVICE_WORKER, SOURCE, page_files, physics_values
from common.files import temporary_path
from models.motion.model import MotionModel


def build_folder(
    output: Path, model: MotionModel, *, networks: Mapping[str, bytes], runtimes: Mapping[str, bytes]
) -> dict:
    """Write the page; a folder that was built before is replaced as a whole.

    Args:
        output: the folder.
        model: whose configuration the page needs.
        networks: of `app.studio.networks.export_networks`.
        runtimes: of `app.studio.runtime.runtime_files`; kinds that are not whole are left out.

    Returns:
        The manifest.

    Raises:
        ValueError: a path where something else is.
    """
    check_output(output)
    files = page_files() | {f"models/{name}.onnx": content for name, content in networks.items()}
    files |= {f"runtime/{name}": content for name, content in runtimes.items()}
    manifest = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "engine": "browser",
        "model": model_values(model),
        "physics": physics_values(),
        "runtimes": {kind: list(names) for kind, names in RUNTIMES.items() if set(names) <= runtimes.keys()},
        "runtime": f"{PACKAGE} {VERSION}",
        "build": build_hash(files),
        "files": {name: _described(content) for name, content in sorted(files.items())},
    }
    files[MANIFEST] = (json.dumps(manifest, indent=1, allow_nan=False) + "\n").encode()
    files[SERVICE_WORKER] = _service_worker(manifest)
    _write(output, files)
    return manifest


def check_output(output: Path) -> None:
    """Raise ValueError where a build must not go: only an empty folder or an earlier build is replaced."""
    if not output.name:
        raise ValueError(f"{output}: name a folder of its own")
    if output.is_file():
        raise ValueError(f"{output}: is a file; name a folder")
    if output.is_dir() and any(output.iterdir()) and not _is_build(output):
        raise ValueError(f"{output}: is a folder of something else; name a new one")
    if output.is_dir() and (others := _names_besides_a_build(output)):
        raise ValueError(f"{output}: holds {others[0]}, which is not of the page and would be lost; move it away")


def _is_build(folder: Path) -> bool:
    return _read_manifest(folder).get("format") == FORMAT


def _names_besides_a_build(folder: Path) -> list[str]:
    """What lies in the folder of an earlier build and did not come from it."""
    listed = _read_manifest(folder).get("files", {})
    own = {MANIFEST, SERVICE_WORKER} | {Path(name).parts[0] for name in listed if name}
    return sorted(path.name for path in folder.iterdir() if path.name not in own)


def _read_manifest(folder: Path) -> dict:
    """The manifest of an earlier build; empty where there is none."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def model_values(model: MotionModel) -> dict:
    """What the page needs to know of the model."""
    config = model.config
    return {
        "num_frequencies": config.num_frequencies,
        "num_frames": config.num_frames,
        "fps": config.fps,
        "size": list(config.size),
        "size_multiple": model.size_multiple,
        "latent_channels": model.autoencoder.latent_channels,
        "latent_factor": model.autoencoder.downsampling,
        "guidance": config.guidance,
        "sampler": config.sampler,
        "steps": sampler_steps(config),
        "wind": float(model.usual_strength) if config.wind else None,
    }


def build_hash(files: Mapping[str, bytes]) -> str:
    """Changes when any file does: the name of the browser's cache of this build."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + hashlib.sha256(files[name]).digest())
    return digest.hexdigest()[:16]


def _described(content: bytes) -> dict:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _service_worker(manifest: Mapping) -> bytes:
    source = (SOURCE / SERVICE_WORKER).read_text(encoding="utf-8")
    names = [name for name in manifest["files"] if not name.startswith(("runtime/", "models/"))]
    told = {"build": manifest["build"], "files": ["./", MANIFEST, *names]}
    return f"const BUILD = {json.dumps(told)};\n{source}".encode()


def _write(output: Path, files: Mapping[str, bytes]) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    made = output.with_name(f".{output.name}.new")
    shutil.rmtree(made, ignore_errors=True)
    try:
        for name, content in files.items():
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary_path(path) as temporary:
                temporary.write_bytes(content)
        shutil.rmtree(output, ignore_errors=True)
        made.replace(output)
    finally:
        shutil.rmtree(made, ignore_errors=True)
