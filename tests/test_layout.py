"""The house: which room may import which, at all levels, that nothing goes in circles, and how full rooms may be."""

from __future__ import annotations

from collections import Counter

import pytest
from helpers.places import ROOT

from docs.draw.imports import ROOMS, circles, imports, modules, room_of, rooms

SCRIPTS = ("generate", "evaluate", "train_unet", "train_frame_synthesis")
MOST_FILES = 15  # of one folder: where a newcomer loses the thread
# Room -> what its modules may import. The longest name that fits a module counts; its own package is always allowed.
MAY_IMPORT = {
    **dict.fromkeys(SCRIPTS, ("app", "training", "evaluation", "baselines", "data", "models", "common")),
    "benchmarks": (*SCRIPTS, "app", "training", "evaluation", "baselines", "data", "models", "common"),
    "app": ("data", "models", "common"),
    "training": ("evaluation", "data", "models", "common"),
    "evaluation.tables": ("evaluation", "baselines", "data", "models", "common"),
    "evaluation": ("data", "models", "common"),
    "baselines": (
        *("evaluation.prediction", "evaluation.metrics", "evaluation.sequences", "evaluation.networks"),
        *("training", "data", "models", "common"),
    ),
    "data": ("models.spectral_volume", "common"),
    "models": ("common",),
    "common": (),
}


def _within(module: str, room: str) -> bool:
    return module == room or module.startswith(room + ".")


def _rule(module: str) -> str:
    return max((room for room in MAY_IMPORT if _within(module, room)), key=len)


def test_imports_go_downwards_only() -> None:
    wrong = []
    for module, others in imports().items():
        rule = _rule(module)
        allowed = MAY_IMPORT[rule] if rule in SCRIPTS else (*MAY_IMPORT[rule], rule)
        wrong += [f"{module} imports {other}" for other in others if not any(_within(other, room) for room in allowed)]
    assert not wrong, "\n".join(sorted(wrong))


def test_tables_stand_above_the_rest_of_evaluation() -> None:
    above = (*SCRIPTS, "benchmarks", "training", "evaluation.tables")  # training is watched by the rendering table
    seen_by = {m for m, others in imports().items() if any(_within(other, "evaluation.tables") for other in others)}
    assert {module for module in seen_by if not any(_within(module, room) for room in above)} == set()


def test_every_module_has_a_rule() -> None:
    assert {module.split(".")[0] for module in modules()} == {rule.split(".")[0] for rule in MAY_IMPORT}
    assert set(ROOMS) == {rule.split(".")[0] for rule in MAY_IMPORT} - set(SCRIPTS)


@pytest.mark.parametrize("graph", [imports, rooms])
def test_nothing_goes_in_circles(graph) -> None:
    assert circles(graph()) == []


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set()}) == [["a", "b", "c"]]


def test_rooms_are_folders_or_modules_beside_folders() -> None:
    known = modules()
    assert room_of("models.motion.unet", known) == "models.motion"
    assert room_of("models.pipeline", known) == "models.pipeline"
    assert room_of("common.files", known) == "common"


def test_no_folder_is_too_full() -> None:
    sources = [p for room in ROOMS for kind in ("*.py", "*.js", "*.cu") for p in (ROOT / room).rglob(kind)]
    counts = Counter(path.parent.relative_to(ROOT) for path in sources if path.name != "__init__.py")
    full = {str(folder): count for folder, count in counts.items() if count > MOST_FILES}
    assert not full


def test_only_the_pipeline_knows_both_models() -> None:
    both = {"models.motion.model", "models.rendering.model"}
    knows = {module for module, others in imports().items() if both <= others and _within(module, "models")}
    assert knows == {"models.pipeline"}
