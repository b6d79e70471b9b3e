import base64
import json
import math
import re
import xml.etree.ElementTree as ET
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.example_reports import NO_DTI3D, example
from helpers.parsed_page import Page
from torch import Tensor

from common.page import source_hash
from data.media.read_video import read_video
from evaluation.report.html import Media, PageLimits, write_html
from evaluation.report.media import clip_bytes, xt_slices
from evaluation.report.plots import curve_label, curve_plot, report_plots, value_plot

HOSTILE = "</script><script>alert('\"1\"')</script><img src=x onerror=alert(2)>$style"


def swaying(frames: int = 8, swing: float = 4.0) -> Tensor:
    """uint8 [T, 3, 32, 48]: vertical stripes that swing."""
    x = torch.arange(48.0)
    shifts = swing * torch.sin(2 * math.pi * torch.arange(frames) / frames)
    rows = ((x[None] + shifts[:, None]) / 3).sin() * 100 + 128
    return rows[:, None, None].expand(frames, 3, 32, 48).to(torch.uint8)


def written(tmp_path: Path, report: dict, media: Media | None = None, **options: Any) -> Page:
    write_html(tmp_path / "page.html", report, media=media, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    return Page(tmp_path / "page.html")


@pytest.fixture(scope="module")
def full_page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    media = Media()
    media.add_slices("slices of a", {"model": swaying(), "repeat": swaying(swing=0.0)}, row=5)
    media.add_clip("clip of a", swaying(), fps=30)
    return written(tmp_path_factory.mktemp("page"), example(), media)


def test_page_has_every_section(full_page: Page) -> None:
    ids = [section["id"] for section in full_page.all("section")]
    assert ids == ["results", "ratios", "plots", "slices", "clips", "sequences", "provenance"]
    every_id = [attributes["id"] for _, attributes in full_page.tags if "id" in attributes]
    assert len(set(every_id)) == len(every_id)
    assert full_page.source.startswith("<!doctype html>")
    assert full_page.all("html") == [{"lang": "en"}]


def test_page_shows_values_intervals_counts_notes_and_provenance(full_page: Page) -> None:
    shown = ["150.2", "± 10.0", "N=189", "[0.400, 0.700]", NO_DTI3D, "has no motion", "0.546", "fewer than the 400"]
    shown += ["ab" * 32, "cd" * 32, "ef" * 32, "seed 7", "3 sequences of 2 videos", "a_00010", "1.250", "torch"]
    for text in shown:
        assert text in full_page.text, text
    assert full_page.text.count(NO_DTI3D) == 1  # as a footnote, referred to from each cell
    assert sorted(link["href"] for link in full_page.all("a")) == ["#note-1", "#note-1", "#note-2"]


def test_page_holds_the_report_as_json(full_page: Page) -> None:
    assert len(full_page.scripts) == 2
    held = json.loads(full_page.scripts[0])
    assert held["versions"]["torch"]
    assert {key: value for key, value in held.items() if key != "versions"} == example()


def test_page_loads_nothing_and_its_policy_fits_its_own_code(full_page: Page) -> None:
    sources = [a[key] for _, a in full_page.tags for key in ("src", "href", "poster", "data", "srcset") if key in a]
    assert sources
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert "http://" not in full_page.source
    assert "https://" not in full_page.source
    assert "url(" not in full_page.source
    policy = next(meta["content"] for meta in full_page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'; img-src data:; media-src data:;")
    style = re.search(r"<style>(.*?)</style>", full_page.source, re.DOTALL)
    assert style is not None
    for code in (style[1], full_page.scripts[1]):
        assert source_hash(code) in policy
    assert not any(name.startswith("on") or name == "style" for _, a in full_page.tags for name in a)


def test_page_is_accessible(full_page: Page) -> None:
    assert all(image["alt"] for image in full_page.all("img"))
    assert all(video["aria-label"] for video in full_page.all("video"))
    assert all(head.get("scope") in ("row", "col") for head in full_page.all("th"))
    assert len(full_page.all("caption")) == len(full_page.all("table"))
    assert len(full_page.all("figcaption")) == len(full_page.all("figure"))
    assert [tag for tag, _ in full_page.tags if re.fullmatch("h[1-6]", tag)][:2] == ["h1", "h2"]


def test_clips_can_be_played(full_page: Page, tmp_path: Path) -> None:
    (video,) = full_page.all("video")
    assert {"controls", "loop", "muted", "playsinline"} <= set(video)
    prefix, _, data = video["src"].partition(",")
    assert prefix == "data:video/mp4;base64"
    (tmp_path / "clip.mp4").write_bytes(base64.b64decode(data))
    frames, fps = read_video(tmp_path / "clip.mp4")
    assert frames.shape == (8, 32, 48, 3)
    assert fps == 30
    assert np.abs(frames[2].astype(float) - swaying()[2].permute(1, 2, 0).numpy()).mean() < 12


def test_names_are_text_wherever_they_stand(tmp_path: Path) -> None:
    def hostile(value: object) -> object:
        if isinstance(value, dict):
            return {key if key in KEPT else f"{key} {HOSTILE}": hostile(item) for key, item in value.items()}
        return [hostile(item) for item in value] if isinstance(value, list) else value

    report = example()
    KEPT = {*report, "name", "split", "files", "defaults", "identities", "source", "fingerprint", *report["data"]}
    report = hostile(report)
    assert isinstance(report, dict)
    notes = {row: dict.fromkeys(values, HOSTILE) for row, values in report["table"].items()}
    report |= {"warnings": [HOSTILE], "notes": notes}
    report["data"]["name"] = report["data"]["split"] = report["checkpoint"]["name"] = HOSTILE
    report |= {"protocol": {HOSTILE: [HOSTILE]}, "options": {HOSTILE: HOSTILE}, "script": HOSTILE}
    media = Media([(HOSTILE, xt_slices({HOSTILE: swaying()}, 3))], [(HOSTILE, b"mp4")], [(HOSTILE, "<svg/>")])
    page = written(tmp_path, report, media)
    assert len(page.all("script")) == 2
    assert json.loads(page.scripts[0])["warnings"] == [HOSTILE]
    assert {a["id"] for a in page.all("section")} >= {"results", "clips", "sequences", "provenance"}
    assert not any("onerror" in a for _, a in page.tags)
    assert page.text.count(HOSTILE) > 20
    assert page.all("video")[0]["aria-label"] == HOSTILE


def test_what_would_make_the_page_too_large_is_left_out(tmp_path: Path) -> None:
    media = Media(clips=[("first", b"x" * 60), ("second", b"x" * 60), ("third", b"x" * 40)])
    page = written(tmp_path, example(), media, limits=PageLimits(clips=100, sequence_rows=2))
    assert [video["aria-label"] for video in page.all("video")] == ["first", "third"]
    assert "1 of 3 clips left out" in page.text
    assert "The first 2 of 3; the JSON has all." in page.text


def test_page_of_a_bare_report(tmp_path: Path) -> None:
    page = written(tmp_path, {"format_version": 1, "kind": "ablation", "table": {"K = 4": {"fvd": None}}, "data": None})
    assert [section["id"] for section in page.all("section")] == ["results", "provenance"]


def test_a_page_that_can_not_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_html(tmp_path / "page.html", example() | {"seed": math.nan})
    assert not list(tmp_path.iterdir())


# Pictures -------------------------------------------------------------------------------------------------------------


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def test_report_plots_are_of_what_has_values() -> None:
    report = example()
    captions = [caption for caption, svg in report_plots(report) if parsed(svg).tag.endswith("svg")]
    assert captions[0] == "FVD of windows of 16 frames against time; lower is better."
    # DTFVD has no values, localisation those of one row alone: nothing to see.
    assert captions[1:] == ["FVD: each row's figure with its 95 % interval."]
    assert report_plots(report) == report_plots(example())


def test_curves_keep_gaps_and_odd_names() -> None:
    curves = {"$\\frac$ <b>": [[0, 1.0], [1, None], [2, 3.0]], "\N{CJK UNIFIED IDEOGRAPH-6811}": [[0, 2.0]], "none": []}
    assert parsed(curve_plot(curves, "a & b")).tag.endswith("svg")
    assert curve_label("dtfvd_window16") == "DTFVD of windows of 16 frames"
    assert curve_label("other") == "other"


def test_many_sequences_do_not_make_a_large_plot() -> None:
    report = example()
    for row in report["table"]:
        report["per_sequence"][row] = {f"{index}": {"localisation": index / 4000} for index in range(4000)}
        report["table"][row]["localisation"] = 0.5
    assert len(value_plot(report, ["localisation"])) < 300_000


def test_xt_slices_show_the_row_of_each_method() -> None:
    from PIL import Image

    moving, still = swaying(), swaying(swing=0.0)
    picture = np.asarray(Image.open(BytesIO(xt_slices({"model": moving, "repeat": still}, 5))).convert("RGB"))
    assert picture.shape[1] == 3 * 324
    assert not np.array_equal(
        picture, np.asarray(Image.open(BytesIO(xt_slices({"model": moving, "repeat": moving}, 5))))
    )
    many = xt_slices({f"method {index}": moving for index in range(5)}, 0)
    assert Image.open(BytesIO(many)).size[0] == 3 * 324  # goes on in a second line
    with pytest.raises(ValueError, match="row 32 is outside"):
        xt_slices({"model": moving}, 32)
    with pytest.raises(ValueError, match="at least one method"):
        xt_slices({}, 0)


def test_clip_bytes_leave_no_files(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert clip_bytes(swaying(), 24)[4:8] == b"ftyp"
    assert not list(tmp_path.iterdir())
