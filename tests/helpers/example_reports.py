"""Small reports that several test files read, made here rather than measured."""

from __future__ import annotations

NO_DTI3D = "not computed: no DTI3D weights (see docs/evaluation.md)"


def example() -> dict:
    """A small report with values, gaps, notes, counts and a warning."""
    return {
        "format_version": 1,
        "kind": "motion",
        "data": {
            **{"name": "trees", "manifest_sha256": "ab" * 32, "split": "test", "sequences": 3, "sources": 2},
            **{"size": [256, 160], "fps": [30.0, 30.0], "num_frames": [150, 150]},
            "identities": {
                name: {"source": f"{name[0]}.mp4", "fingerprint": f"0{name}"}
                for name in ("a_00000", "a_00010", "b_00000")
            },
        },
        "checkpoint": {"name": "pretrained", "files": {"motion/config.json": "cd" * 32}, "defaults": []},
        "weights": {"i3d_kinetics400": "ef" * 32, "dti3d_16": None},
        "seed": 7,
        "protocol": {"steps": 20},
        "table": {
            "model": {"fvd": 150.24, "dtfvd": None, "localisation": 0.5},
            "repeat": {"fvd": 275.0, "dtfvd": None, "localisation": None},
        },
        "intervals": {
            "model": {"fvd": [140.24, 160.24], "dtfvd": None, "localisation": [0.4, 0.7]},
            "repeat": {"fvd": None, "dtfvd": None, "localisation": None},
        },
        "counts": {"model": {"fvd": 189, "dtfvd": 0, "localisation": 3}, "repeat": {"fvd": 180, "localisation": 0}},
        "notes": {"model": {"dtfvd": NO_DTI3D}, "repeat": {"dtfvd": NO_DTI3D, "localisation": "has no motion"}},
        "ratios": {"model": {"fvd": 0.5463, "dtfvd": None}, "repeat": {"fvd": 1.0, "dtfvd": None}},
        "per_sequence": {
            "model": {
                "a_00000": {"localisation": 0.4, "seam": 1.25},
                "a_00010": {"localisation": None, "seam": 1.0},
                "b_00000": {"localisation": 0.6, "seam": 0.5},
            }
        },
        "curves": {"fvd_window16": {"model": [[8, 10.0], [24, None]], "repeat": [[8, 20.0], [24, 30.5]]}},
        "warnings": ["fvd: 189 samples are fewer than the 400 features"],
    }
