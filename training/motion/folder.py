"""What the run folder of a motion model says of earlier stages, those of earlier versions included."""

from __future__ import annotations

from pathlib import Path

from common.checkpoint import load_config
from common.command_line import package_versions
from common.plain import plain_value
from models.motion.model import KIND
from models.motion.stages import FORMER_NAMES, STAGES


def is_run_folder(output: Path) -> bool:
    """Whether a folder holds a run's checkpoint already."""
    return (output / "config.json").is_file()


def figures_of_earlier_stages(output: Path) -> dict[str, dict[str, float]]:
    """The last validation figures of each stage that has ended in a run folder, by the stages' present names."""
    if not is_run_folder(output):
        return {}
    training = load_config(output, KIND).get("training", {})
    if "figures" in training:
        where = str(output / "config.json")
        return plain_value(dict[str, dict[str, float]], training["figures"], where, key="training.figures")
    # Runs of earlier versions kept the figures among the other entries, under the stages' names.
    names = {name: name for name in STAGES} | FORMER_NAMES
    return {present: training[name] for name, present in names.items() if isinstance(training.get(name), dict)}


def adopt_former_names(output: Path) -> None:
    """Rename the logs, plots and pictures that an earlier version wrote of a stage under its former name."""
    for former, present in FORMER_NAMES.items():
        paths = [*output.glob(f"log_{former}.csv"), *output.glob(f"loss_{former}.png")]
        for path in [*paths, *output.glob(f"samples/{former}_*.png"), *output.glob(f"tensorboard/{former}")]:
            target = path.with_name(path.name.replace(former, present))
            if not target.exists():
                path.rename(target)


def recorded_versions() -> dict[str, str]:
    """Versions of the packages that weights may depend on, without what they say of the machine."""
    return {name: version for name, version in package_versions().items() if name != "machine"}
