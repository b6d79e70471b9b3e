"""onnxruntime for browsers: one published npm package, pinned by version and hash.

npm fetches it from wherever the user's configuration says that packages come from; nothing of it is run or installed
here. What was fetched once stays in the user's cache.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from common.files import cache_folder, temporary_path

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
LARGEST = 80_000_000  # bytes of one of the files
PATIENCE = 600  # seconds that npm may take
# Files of each kind of runtime: plain WebAssembly for all browsers, and one that reaches the graphics card by WebGPU.
RUNTIMES = {
    "wasm": ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"),
    "webgpu": ("ort.jspi.min.mjs", "ort-wasm-simd-threaded.jspi.mjs", "ort-wasm-simd-threaded.jspi.wasm"),
}
ADVICE = f"npm pack {PACKAGE}@{VERSION} makes the file on a machine that has npm; give it by --runtime"


def runtime_files(package: Path | None = None) -> dict[str, bytes]:
    """Contents of the files of :data:`RUNTIMES` by name.

    Args:
        package: the package's .tgz; by default it comes from the cache, or else from npm.

    Raises:
        ValueError: in one line, where it can't be had or is not the package that is pinned.
    """
    package = package or _cached()
    check_integrity(package)
    wanted = {f"package/dist/{name}": name for names in RUNTIMES.values() for name in names}
    found = {}
    with tarfile.open(package) as archive:
        for member in archive:
            if member.name in wanted and member.isfile() and member.size <= LARGEST:
                file = archive.extractfile(member)
                assert file is not None
                found[wanted[member.name]] = file.read()
    missing = set(wanted.values()) - found.keys()
    if missing:
        raise ValueError(f"{package}: has no {', '.join(sorted(missing))}")
    return found


def check_integrity(package: Path) -> None:
    """Raise ValueError unless a file is the package that is pinned."""
    if not package.is_file():
        raise ValueError(f"{package}: no such package; {ADVICE}")
    found = f"sha512-{base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()}"
    if found != INTEGRITY:
        raise ValueError(f"{package}: not {PACKAGE} {VERSION} as it was published, its hash is {found[:20]}...")


def cached_package() -> Path:
    """Where the package is kept, whether it is there or not."""
    return cache_folder("studio") / f"{PACKAGE}-{VERSION}.tgz"


def _cached() -> Path:
    kept = cached_package()
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder, temporary_path(kept) as temporary:
            fetched = _fetch(Path(folder))
            check_integrity(fetched)
            shutil.copyfile(fetched, temporary)
    return kept


def _fetch(folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise ValueError(f"npm is not installed here, and it fetches {PACKAGE} {VERSION}; {ADVICE}")
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--ignore-scripts", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise ValueError(f"npm took more than {PATIENCE} s to fetch {PACKAGE} {VERSION}; try again") from None
    packed = list(folder.glob("*.tgz"))
    if done.returncode or len(packed) != 1:
        reason = " ".join(done.stderr.split())[-200:] or f"status {done.returncode}"
        raise ValueError(f"npm could not fetch {PACKAGE} {VERSION} ({reason}); {ADVICE}")
    return packed[0]
