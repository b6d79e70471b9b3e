"""The paper's own figures: Tables 1 and 2 of Generative Image Dynamics, and the published comparison of renderers.

They were taken on other data. What compares is the order of rows and, of distances, the ratio to the photo unmoved.
"""

from __future__ import annotations

DISTANCES = ("fid", "kid", "fvd", "fvd32", "dtfvd", "dtfvd32")  # KID times 100, as here


def _rows(names: tuple[str, ...], rows: dict[str, tuple[float | None, ...]]) -> dict[str, dict[str, float]]:
    return {
        row: {name: value for name, value in zip(names, values, strict=True) if value is not None}
        for row, values in rows.items()
    }


# The photo unmoved is a row of Table 2, on the same test set.
_REPEAT = (None, None, 237.5, 316.7, 5.30, 45.6)
_FULL = (4.03, 0.08, 47.1, 62.9, 2.53, 6.75)
PUBLISHED: dict[str, dict[str, dict[str, float]]] = {
    "motion": _rows(
        DISTANCES,
        {
            "TATS": (65.8, 1.67, 265.6, 419.6, 22.6, 40.7),
            "Stochastic I2V": (68.3, 3.12, 253.5, 320.9, 16.7, 41.7),
            "MCVD": (63.4, 2.97, 208.6, 270.4, 19.5, 53.9),
            "LFDM": (47.6, 1.70, 187.5, 254.3, 13.0, 45.6),
            "DMVFN": (37.9, 1.09, 206.5, 316.3, 11.2, 54.5),
            "Endo et al.": (10.4, 0.19, 166.0, 231.6, 5.35, 65.1),
            "Holynski et al.": (11.2, 0.20, 179.0, 253.7, 7.23, 46.8),
            "Generative Image Dynamics": _FULL,
            "repeat": _REPEAT,
        },
    ),
    "ablation": _rows(
        DISTANCES,
        {
            "repeat": _REPEAT,
            "K=4": (3.92, 0.07, 60.3, 78.4, 3.12, 8.59),
            "K=8": (3.95, 0.07, 52.1, 68.7, 2.71, 7.37),
            "K=24": (4.09, 0.08, 48.2, 65.1, 2.50, 6.94),
            "no-adaptive-normalisation": (4.53, 0.09, 62.7, 80.1, 3.16, 8.19),
            "independent-frequencies": (4.00, 0.08, 52.5, 71.3, 2.70, 7.40),
            "joint-volume": (4.74, 0.09, 53.7, 71.1, 2.83, 7.79),
            "image-splatting": (4.25, 0.09, 49.5, 66.8, 2.83, 7.27),
            "full": _FULL,
        },
    ),
    "rendering": _rows(
        ("psnr", "ssim", "lpips"),
        {
            "model": (36.31, 0.9720, 0.0096),
            "average-splatting": (34.83, 0.9657, 0.0236),
            "remap": (34.72, 0.9654, 0.0132),
        },
    ),
}
PUBLISHED["film"] = PUBLISHED["motion"]
