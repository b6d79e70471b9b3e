"""What holds for the repository as a whole: imports, dependencies, command lines, documents, sizes."""

from __future__ import annotations

import ast
import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.places import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from docs.draw.imports import ROOMS, modules

# Heavy packages are imported by the functions that use them: rendering needs only torch, numpy and safetensors.
HEAVY = (
    "cv2",
    "numba",
    "PIL",
    "pillow_heif",
    "matplotlib",
    "torchvision",
    "imageio_ffmpeg",
    "moviepy",
    "scipy",
    "diffusers",
    "huggingface_hub",
)
HEAVY += ("torchmetrics", "torch_fidelity", "accelerate", "tensorboard", "distributed", "cupy")
# Modules of these names need numba's decorators and are imported late themselves.
COMPILED_KERNELS = ("data.flow.coarse2fine.", "data.simulated.paths", "models.splatting.loops")
# Used where somebody has them, a ValueError or a slower path where not.
OPTIONAL = (
    *("ai_edge_litert", "bpy", "cupy", "distributed", "onnx", "onnxruntime", "onnxscript", "pyflow", "transformers"),
    "wandb",
)
INDIRECT = {"torch-fidelity"}  # what our requirements use without requiring it: torchmetrics' FID
DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "pillow_heif": "pillow-heif",
    "llvmlite": "numba",
}  # where the import's name differs
TEXT_SUFFIXES = {".py", ".md", ".txt", ".toml", ".cff", ".json", ".csv", ".html", ".js", ".yml", ".yaml", ".cfg", ""}
PRETRAINED_LIMIT = 40_000_000  # bytes


def _files(*patterns: str) -> list[Path]:
    """Files of the repository, without environments, outputs and caches."""
    skipped = {"outputs", "runs", "__pycache__", "node_modules", ".git"}
    found = []
    for pattern in patterns:
        for path in ROOT.rglob(pattern):
            parts = path.relative_to(ROOT).parts
            if path.is_file() and not any(p in skipped or p.startswith(".venv") or "_cache" in p for p in parts):
                found.append(path)
    return sorted(found)


def _imports(path: Path) -> Iterator[str]:
    """Dotted names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


# Of benchmarks/gpu.sh, what a user calls; the rest are its parts, which it starts by itself.
GPU_COMMANDS = ("benchmarks.gpu.run", "benchmarks.gpu.pieces")


def _scripts() -> dict[str, list[str]]:
    """Command of each script as written in the documents -> arguments for the interpreter."""
    scripts = {f"python {path.name}": [str(path)] for path in sorted(ROOT.glob("*.py"))}
    for module, path in modules().items():
        part = module.startswith("benchmarks.gpu.") and module not in GPU_COMMANDS
        if "." in module and '__name__ == "__main__"' in path.read_text() and not part:
            name = module.removesuffix(".__main__")
            scripts[f"python -m {name}"] = ["-m", name]
    return scripts


# Scripts whose options are those of their subcommands.
SUBCOMMANDS = {
    "python -m app.studio": ("build", "serve"),
    "python -m baselines.cinn": ("train", "sample", "transfer", "endpoint", "reconstruct", "convert"),
    "python -m baselines.lfdm": ("train", "sample", "transfer", "reconstruct", "convert"),
    "python evaluate.py": ("rendering", "motion", "sampling", "ablation", "benchmark", "compare"),
    "python -m data.flow": ("compare", "middlebury"),
    "python -m data.prepare": ("merge", "report"),
    "python -m evaluation.networks": ("fetch", "convert"),
}
# The first two compute nothing that a device or a seed would change, the third nothing random, and its estimators know
# their devices; measurements have their own way to report.
# What may import torch before it shows its help; the help of all other commands is there at once.
WITH_TORCH = (
    *("python -m benchmarks.", "python -m evaluation.networks", "python -m data.synthetic"),
    *("python -m data.prepare merge", "python -m data.prepare report"),
)
WITHOUT_COMMON_OPTIONS = ("python -m app.studio", "python -m evaluation.networks")
WITHOUT_COMMON_OPTIONS += ("python -m data.flow", "python -m training.combine", "python -m benchmarks.")
WITHOUT_COMMON_OPTIONS += tuple(f"python -m data.synthetic.{name}" for name in ("maps", "measure", "credits"))


def _run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(folder)}
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)


# Shows the help of commands one after the other, in one process: starting Python takes longer than they do.
HELPS = """
import contextlib, io, json, runpy, sys, warnings
warnings.simplefilter("ignore", RuntimeWarning)  # that a module was imported before it is run
shown = []
for first, *rest in json.loads(sys.argv[1]):
    as_module = first == "-m"
    target, arguments = (rest[0], rest[1:]) if as_module else (first, rest)
    sys.argv = [target, *arguments, "--help"]
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            (runpy.run_module if as_module else runpy.run_path)(target, run_name="__main__")
            status = None
        except SystemExit as end:
            status = end.code
    shown.append((status, output.getvalue(), "torch" in sys.modules))
print(json.dumps(shown))
"""


@pytest.fixture(scope="module")
def helps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each script's ``--help`` prints."""
    folder = tmp_path_factory.mktemp("help")
    commands = {
        (name, subcommand): [*arguments, *subcommand]
        for name, arguments in _scripts().items()
        for subcommand in [(), *((subcommand,) for subcommand in SUBCOMMANDS.get(name, ()))]
    }
    light = [key for key in commands if not " ".join((key[0], *key[1])).startswith(WITH_TORCH)]
    order = [*light, *sorted(commands.keys() - set(light))]
    result = _run(["-c", HELPS, json.dumps([commands[key] for key in order])], folder)
    assert result.returncode == 0, result.stderr
    assert not list(folder.iterdir()), "--help left files behind"
    texts: dict[str, str] = {}
    for key, (status, text, torch) in zip(order, json.loads(result.stdout), strict=True):
        assert status == 0, f"{key} --help ends with status {status}: {text}"
        assert not torch or key not in light, f"{key} --help imports torch"
        texts[key[0]] = texts.get(key[0], "") + text
    return texts


# Imports --------------------------------------------------------------------------------------------------------------


def test_importing_every_module_is_light_and_creates_nothing(tmp_path: Path) -> None:
    names = [module for module in modules() if not module.startswith(COMPILED_KERNELS)]
    code = (
        f"import importlib, sys\n"
        f"for name in {names}: importlib.import_module(name)\n"
        f"print(*[name for name in {HEAVY} if name in sys.modules])"
    )
    result = _run(["-c", code], tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []
    assert not list(tmp_path.iterdir())


# Dependencies ---------------------------------------------------------------------------------------------------------


def _requirements(name: str) -> dict[str, Requirement]:
    lines = [line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    parsed = [Requirement(line) for line in lines if line and not line.startswith("-")]
    assert len({canonicalize_name(r.name) for r in parsed}) == len(parsed), f"{name} names a package twice"
    return {canonicalize_name(requirement.name): requirement for requirement in parsed}


def test_constraints_pin_every_requirement_within_its_range() -> None:
    pins = _requirements("constraints.txt")
    for requirement in pins.values():
        assert [s.operator for s in requirement.specifier] == ["=="], f"constraints.txt: {requirement} is no exact pin"
    for name, requirement in {**_requirements("requirements.txt"), **_requirements("requirements-dev.txt")}.items():
        assert name in pins, f"constraints.txt has no {name}"
        version = next(iter(pins[name].specifier)).version
        assert requirement.specifier.contains(version), f"constraints.txt: {version} is outside {requirement}"
        assert any(s.operator == ">=" for s in requirement.specifier), f"{requirement} has no lower bound"


def test_requirements_are_what_the_code_imports() -> None:
    own = {module.split(".")[0] for module in modules()}
    imported = {
        name.split(".")[0]
        for module, path in modules().items()
        if not module.startswith("benchmarks")
        for name in _imports(path)
    }
    third_party = imported - own - set(sys.stdlib_module_names) - set(OPTIONAL)
    needed = {canonicalize_name(DISTRIBUTIONS.get(name, name)) for name in third_party}
    assert needed | INDIRECT == set(_requirements("requirements.txt"))


# Command lines and documents ------------------------------------------------------------------------------------------


def test_every_script_shows_help_with_examples(helps: dict[str, str]) -> None:
    assert len(helps) >= 4
    for name, text in helps.items():
        assert re.search(rf"^\s*{re.escape(name)} ", text, re.MULTILINE), f"{name} --help shows no examples"
        for option in ("--device", "--seed", "--report") if not name.startswith(WITHOUT_COMMON_OPTIONS) else ():
            assert option in text, f"{name} has no {option}"


def _commands(path: Path) -> Iterator[str]:
    """Commands in the code blocks of a Markdown file, continuation lines joined."""
    for block in re.findall(r"^```\w*\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE):
        yield from (line.strip() for line in block.replace("\\\n", " ").splitlines() if line.strip())


def test_commands_in_documents_use_options_that_exist(helps: dict[str, str]) -> None:
    seen = 0
    for path in _files("*.md"):
        for command in _commands(path):
            command = command.partition("#")[0]
            match = re.search(r"python (-m (?:" + "|".join(ROOMS) + r")(?:\.\w+)+|\w+\.py)", command)
            if not match:
                continue
            seen += 1
            assert match.group() in helps, f"{path.name}: no such script: {command}"
            known = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", helps[match.group()]))
            used = set(re.findall(r"(?<=\s)--?[a-z][\w-]*", command[match.end() :]))
            assert used <= known, f"{path.name}: unknown options {sorted(used - known)} in: {command}"
    assert seen >= 4


@functools.cache
def _names(module: str) -> set[str]:
    """Classes, functions and methods, and global values that a module defines."""
    tree = ast.parse(modules()[module].read_text())
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    assigned = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None]
    targets = [
        target for node in assigned for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    return names | {target.id for target in targets if isinstance(target, ast.Name)}


def test_code_named_in_documents_exists() -> None:
    known = modules()
    dotted = re.compile(r"`((?:" + "|".join(ROOMS) + r")(?:\.\w+)+)(?:\(\))?`")
    for path in _files("*.md"):
        if path.name == "CHANGELOG.md":  # what names were is its matter
            continue
        text = path.read_text()
        named = dotted.findall(text)
        for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom) and node.module:
                    named += [f"{node.module}.{alias.name}" for alias in node.names]
        for name in named:
            module = max((m for m in known if name == m or name.startswith(m + ".")), key=len, default="")
            assert module, f"{path.name}: no module of {name}"
            missing = set(name[len(module) :].split(".")[1:]) - _names(module)
            assert not missing, f"{path.name}: {module} has no {', '.join(missing)}"


def test_relative_links_in_documents_resolve() -> None:
    for path in _files("*.md"):
        text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
        targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"(?:src|href)=\"([^\"]+)\"", text)
        for target in targets:
            if re.match(r"[a-z]+:", target):
                continue
            file, _, anchor = target.partition("#")
            linked = (path.parent / file) if file else path
            assert linked.exists(), f"{path.relative_to(ROOT)}: the link {target} leads nowhere"
            if anchor:
                assert anchor in _anchors(linked), f"{path.relative_to(ROOT)}: {target} names no heading"


def _anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ +(.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_no_text_names_a_machine_or_a_registry() -> None:
    places = ("work", "root", "home", "opt")
    forbidden = [r"(?<![\w.~])/(" + "|".join(places) + r")/\w", r"\.\./" + "shared", "pypi" + r"\.org"]
    forbidden += ["pythonhosted" + r"\.org", "--(extra-)?index" + "-url", "trusted" + "-host"]
    pattern = re.compile("|".join(forbidden))
    for path in _files("*"):
        if path.suffix in TEXT_SUFFIXES and path.name != "LICENSE":
            for number, line in enumerate(path.read_text().splitlines(), 1):
                assert not pattern.search(line), f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"


def test_documents_are_wrapped_at_100_columns() -> None:
    wide = []
    for path in _files("*.md"):
        fenced = False
        for number, line in enumerate(path.read_text().splitlines(), 1):
            fenced ^= line.startswith("```")
            if len(line) > 100 and not fenced and not line.lstrip().startswith("|") and "://" not in line:
                wide.append(f"{path.relative_to(ROOT)}:{number}: {len(line)}")
    assert not wide, "\n".join(wide)


# Sizes ----------------------------------------------------------------------------------------------------------------


def test_what_comes_along_is_small() -> None:
    weights = sum(path.stat().st_size for path in (ROOT / "models" / "pretrained").rglob("*") if path.is_file())
    assert weights <= PRETRAINED_LIMIT
    media = _files("*.webp", "*.gif", "*.mp4", "*.jpg", "*.png")
    assert all(path.stat().st_size <= 3_000_000 for path in media), "a picture or video of more than 3 MB"
