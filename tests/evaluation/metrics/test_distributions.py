from itertools import pairwise

import pytest
import torch

from evaluation.metrics.collection import FeatureCollector, load_networks
from evaluation.metrics.distances import frechet_distance, jackknife_interval, kernel_distance
from evaluation.metrics.distributions import distribution_metrics, set_distance
from evaluation.metrics.features import FeatureCache, windows
from evaluation.metrics.metric import FeatureSet, Metric
from evaluation.metrics.registry import of_kind, of_table

SIZE = (8, 12)
METRICS = of_kind("sets", of_table("motion"))


class Quarters:
    """A stand-in for Inception: mean colour of the four quarters of an image, 12 features."""

    name, dimension, sha256 = "inception", 12, "a" * 64

    def __init__(self):
        self.seen = 0

    def __call__(self, pixels):
        self.seen += len(pixels)
        return torch.nn.functional.adaptive_avg_pool2d(pixels.float() / 255, 2).flatten(1)


class Differences:
    """A stand-in for I3D: mean and mean square of the change from frame to frame, 6 features that know the order."""

    dimension = 6

    def __init__(self, name="i3d"):
        self.name, self.sha256 = name, f"{name:b<64}"

    def __call__(self, pixels):
        change = (pixels[:, 1:].float() - pixels[:, :-1].float()) / 255
        return torch.cat([change.mean(dim=(1, 3, 4)), change.square().mean(dim=(1, 3, 4))], dim=1)


def swaying(seed, num_frames=48, speed=0.2, noise=3.0, size=SIZE):
    """uint8 [T, 3, H, W]: a pattern whose colours swing slowly, differently in each video."""
    generator = torch.Generator().manual_seed(seed)
    pattern, phase = torch.rand(2, 3, *size, generator=generator)
    t = torch.arange(num_frames)[:, None, None, None]
    clean = 128 + 60 * pattern * torch.sin(speed * t + 6 * phase)
    return (clean + noise * torch.randn(num_frames, 3, *size, generator=generator)).clamp(0, 255).to(torch.uint8)


def networks():
    clips = {name: Differences(name) for name in ("i3d", "dti3d_16", "dti3d_32")}
    return {"inception": Quarters(), **clips}


@pytest.fixture
def collect(tmp_path):
    """Makes a collector of the videos ``{method: [frames, ...]}``, the i-th from source ``video<i>``."""

    def make(videos, used=None, metrics=tuple(METRICS), known=METRICS):
        chosen = {name: known[name] for name in metrics}
        collector = FeatureCollector(used or networks(), metrics=chosen, cache=FeatureCache(tmp_path / "features"))
        for method, clips in videos.items():
            for index, frames in enumerate(clips):
                collector.add(method, f"{method}{index}", f"video{index}", frames)
        return collector

    return make


def real_videos(count=6, **how):
    return [swaying(seed, **how) for seed in range(count)]


def other_videos(count=6, **how):
    return [swaying(100 + seed, **{"speed": 0.5, **how}) for seed in range(count)]


def test_every_figure_is_the_distance_of_all_features(collect):
    real, other = real_videos(), other_videos()
    result = distribution_metrics(collect({"real": real, "model": other}), ["model"], intervals=False)
    frames = [Quarters()(torch.cat(videos)) for videos in (real, other)]
    expected = {"fid": frechet_distance(*frames), "kid": 100 * kernel_distance(*frames)}
    for metric, length in (("fvd", 16), ("fvd32", 32), ("dtfvd", 16), ("dtfvd32", 32)):
        clips = [torch.cat([Differences()(windows(v, length)) for v in videos]) for videos in (real, other)]
        expected[metric] = frechet_distance(*clips)
    assert result["table"]["model"] == pytest.approx(expected, rel=1e-6)
    assert result["counts"]["model"] == {"fid": 288, "kid": 288, "fvd": 18, "fvd32": 6, "dtfvd": 18, "dtfvd32": 6}
    assert result["counts"]["real"] == result["counts"]["model"]
    assert result["notes"]["model"] == {}
    assert not any(result["intervals"]["model"].values())


def test_the_real_videos_have_no_distance_to_themselves(collect):
    real = real_videos()
    table = distribution_metrics(collect({"real": real, "copy": real}), ["copy"], intervals=False)["table"]["copy"]
    assert all(table[metric] == pytest.approx(0, abs=1e-6) for metric in METRICS if metric != "kid")
    assert table["kid"] < 0.05


def test_shuffling_frames_in_time_worsens_fvd_and_leaves_fid_unchanged(collect):
    real, other = real_videos(), other_videos(speed=0.25)
    order = torch.randperm(48, generator=torch.Generator().manual_seed(0))
    videos = {"real": real, "model": other, "mixed": [frames[order] for frames in other]}
    table = distribution_metrics(collect(videos), ["model", "mixed"], intervals=False)["table"]
    assert table["mixed"]["fid"] == pytest.approx(table["model"]["fid"], rel=1e-9)
    assert table["mixed"]["kid"] == pytest.approx(table["model"]["kid"], rel=1e-9)
    assert all(table["mixed"][metric] > 2 * table["model"][metric] for metric in ("fvd", "fvd32", "dtfvd", "dtfvd32"))


@pytest.mark.weights
def test_shuffling_frames_in_time_worsens_the_real_fvd(metric_weights, collect):
    used, notes = load_networks({"fvd": METRICS["fvd"]}, weights=metric_weights, device="cpu")
    assert not notes
    real, other = (make(2, num_frames=16, size=(32, 64)) for make in (real_videos, other_videos))
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    collector = collect({"real": real, "model": other, "mixed": [frames[order] for frames in other]}, used)
    result = distribution_metrics(collector, ["model", "mixed"], intervals=False)
    assert 0 < result["table"]["model"]["fvd"] < result["table"]["mixed"]["fvd"]
    assert any(
        line.startswith("fvd of model, mixed: 2 samples for features of dimension 400") for line in result["warnings"]
    )


def test_missing_weights_leave_a_note(collect):
    collector = collect({"real": real_videos(), "model": other_videos()}, {"i3d": Differences()})
    note = "not computed: no DTI3D weights (see docs/evaluation.md)"
    result = distribution_metrics(collector, ["model"], notes={"dtfvd": note, "dtfvd32": note}, intervals=False)
    assert result["notes"]["model"] == {"dtfvd": note, "dtfvd32": note}
    assert result["table"]["model"]["dtfvd"] is None
    assert result["table"]["model"]["fvd"] > 0
    assert "fid" not in result["table"]["model"]
    assert set(result["curves"]) == {"fvd_window16"}


def test_no_weights_at_all_need_no_cache():
    collector = FeatureCollector({})
    collector.add("real", "a", "video", swaying(0))
    collector.add("model", "a", "video", swaying(1))
    assert collector.cache is None
    result = distribution_metrics(collector, ["model"], notes={"fvd": "not computed: no I3D weights"})
    assert result["table"] == {"model": {"fvd": None}}


def test_short_videos_leave_a_note_or_fewer_windows(collect):
    videos = {"real": real_videos(), "short": other_videos(num_frames=20), "tiny": other_videos(num_frames=10)}
    result = distribution_metrics(collect(videos), ["short", "tiny"], intervals=False)
    assert result["notes"]["short"]["fvd32"] == "not computed: 20-frame videos have no 32-frame window"
    assert result["notes"]["tiny"]["fvd"] == "not computed: 10-frame videos have no 16-frame window"
    assert result["table"]["short"]["fvd32"] is None
    assert (result["counts"]["short"]["fvd"], result["counts"]["real"]["fvd"]) == (6, 18)
    assert result["counts"]["tiny"]["fid"] == 60
    assert result["table"]["tiny"]["fid"] > 0


def test_one_window_is_no_distribution(collect):
    result = distribution_metrics(collect({"real": real_videos(1), "model": other_videos(1)}), ["model"])
    assert result["notes"]["model"]["fvd32"] == "not computed: a distance needs at least two 32-frame windows"
    assert result["table"]["model"]["fvd"] is not None


def test_a_method_without_videos_has_empty_cells(collect):
    result = distribution_metrics(collect({"real": real_videos()}), ["map"], intervals=False)
    assert result["table"]["map"] == result["notes"]["map"] == {}
    assert result["curves"] == {}
    without_real = distribution_metrics(collect({"model": other_videos()}), ["model"])
    assert without_real["notes"]["model"]["fid"] == "not computed: there are no real videos"


def test_too_few_samples_are_warned_about_but_not_for_kid(collect):
    result = distribution_metrics(collect({"real": real_videos(2), "a": other_videos(2), "b": other_videos(2)}), "ab")
    lines = [line for line in result["warnings"] if "fvd32" in line]
    assert len(lines) == 2  # fvd32 and dtfvd32
    assert lines[0].startswith("fvd32 of a, b: 2 samples for features of dimension 6:")
    assert not any(line.startswith(("fid", "kid")) for line in result["warnings"])
    assert any(line.startswith("fvd_window16: each point: 2 samples") for line in result["warnings"])


def test_intervals_hold_the_value_and_need_three_videos(collect):
    videos = {"real": real_videos(12), "model": other_videos(12)}
    result = distribution_metrics(collect(videos, metrics=("fid", "kid", "fvd")), ["model"])
    for metric, (low, high) in result["intervals"]["model"].items():
        assert low < result["table"]["model"][metric] < high
    two = distribution_metrics(collect({"real": real_videos(2), "model": other_videos(2)}), ["model"])
    assert not any(two["intervals"]["model"].values())
    again = distribution_metrics(collect(videos, metrics=("fid", "kid", "fvd")), ["model"])
    assert again["intervals"] == result["intervals"]


@pytest.mark.parametrize("metric", ["fid", "kid"])
def test_intervals_leave_out_the_same_videos_on_both_sides(collect, metric):
    videos = {"real": real_videos(5), "model": other_videos(5)}
    result = distribution_metrics(collect(videos, metrics=[metric]), ["model"])

    def statistic(kept):
        a, b = (Quarters()(torch.cat([videos[name][i] for i in kept])) for name in ("real", "model"))
        return frechet_distance(a, b) if metric == "fid" else 100 * kernel_distance(a, b)

    assert result["intervals"]["model"][metric] == pytest.approx(jackknife_interval(statistic, 5), rel=1e-6)


def test_intervals_leave_out_all_sequences_of_a_video_together(tmp_path):
    """A second copy of every sequence adds nothing: with their sources known the interval does not shrink."""
    widths = []
    for copies in (1, 2):
        collector = FeatureCollector(
            {"i3d": Differences()}, metrics={"fvd": METRICS["fvd"]}, cache=FeatureCache(tmp_path)
        )
        for method, videos in (("real", real_videos(8)), ("model", other_videos(8))):
            for index, frames in enumerate(videos):
                for copy in range(copies):
                    collector.add(method, f"{index}-{copy}", f"video{index}", frames)
        assert set_distance(collector, "fvd").groups == 8
        low, high = distribution_metrics(collector, ["model"])["intervals"]["model"]["fvd"]
        widths.append(high - low)
    assert widths[1] == pytest.approx(widths[0], rel=0.1)


def test_fid_against_time(collect):
    real = real_videos()
    fading = [frames.clone() for frames in other_videos(speed=0.2)]
    for frames in fading:
        frames[24:] //= 2
    result = distribution_metrics(collect({"real": real, "fading": fading}), ["fading"], intervals=False, step=6)
    line = result["curves"]["fid_window30"]["fading"]
    assert [start for start, _ in line] == [0, 6, 12, 18]
    assert all(earlier < later for (_, earlier), (_, later) in pairwise(line))
    expected = [Quarters()(torch.cat([frames[6:36] for frames in videos])) for videos in (real, fading)]
    assert line[1][1] == pytest.approx(frechet_distance(*expected), rel=1e-6)


def test_fvd_against_time_reuses_the_windows(collect):
    real, other = real_videos(), other_videos()
    videos = {"real": real, "model": other, "short": [frames[:36] for frames in other]}
    curves = distribution_metrics(collect(videos), ["model", "short"], intervals=False)["curves"]
    assert set(curves) == {"fid_window30", "fvd_window16", "dtfvd_window16"}
    assert [start for start, _ in curves["fvd_window16"]["model"]] == [0, 16, 32]
    assert curves["fvd_window16"]["short"] == curves["fvd_window16"]["model"][:2]
    expected = [Differences()(torch.stack([frames[16:32] for frames in set_])) for set_ in (real, other)]
    assert curves["fvd_window16"]["model"][1][1] == pytest.approx(frechet_distance(*expected), rel=1e-6)


def test_only_real_videos_are_cached(collect):
    first, again = Quarters(), Quarters()
    videos = {"real": real_videos(2), "model": other_videos(2)}
    for network in (first, again):
        collect(videos, {"inception": network})
    assert (first.seen, again.seen) == (4 * 48, 2 * 48)


def test_networks_run_for_the_metrics_asked_for_alone(collect):
    collector = collect({"real": real_videos(2)}, metrics=("fvd",))
    assert [key[:2] for key in collector.videos["real"][0].features] == [("i3d", 16)]


def test_bad_videos_are_refused_in_one_line(collect):
    collector = collect({"real": real_videos(2)})
    with pytest.raises(ValueError, match=r"^model, sequence a: 16x8 pixels, the videos before it have 12x8"):
        collector.add("model", "a", "video0", swaying(0, size=(8, 16)))
    broken = torch.zeros(48, 3, *SIZE)
    broken[5] = torch.inf
    with pytest.raises(ValueError, match=r"^model, sequence a: frame 5 has values that are not finite"):
        collector.add("model", "a", "video0", broken)


def test_features_that_are_not_finite_name_the_video(collect):
    class Broken(Quarters):
        def __call__(self, pixels):
            return super().__call__(pixels).log()  # of black: minus infinity

    collector = collect({"real": real_videos(2)}, {"inception": Broken()})
    with pytest.raises(ValueError, match=r"^model, sequence b: the inception network's features are not finite"):
        collector.add("model", "b", "video0", torch.zeros(16, 3, *SIZE, dtype=torch.uint8))
    assert "model" not in collector.videos


def test_progress_names_every_figure(collect):
    seen = []
    distribution_metrics(collect({"real": real_videos(2), "model": other_videos(2)}), ["model"], progress=seen.append)
    assert seen[0] == "fid of model"
    assert seen[-1] == "dtfvd_window16"


def test_one_entry_adds_a_metric_of_sets(collect):
    """Windows of another length, twice the distance, and a curve."""
    known = METRICS | {"fvd8": Metric(label="FVD8", kind="sets", features=FeatureSet("i3d", 8), scale=2, curve=True)}
    real, other = real_videos(), other_videos()
    collector = collect({"real": real, "model": other}, metrics=("fvd", "fvd8"), known=known)
    result = distribution_metrics(collector, ["model"])
    clips = [torch.cat([Differences()(windows(video, 8)) for video in videos]) for videos in (real, other)]
    assert result["table"]["model"]["fvd8"] == pytest.approx(2 * frechet_distance(*clips), rel=1e-6)
    low, high = result["intervals"]["model"]["fvd8"]
    assert low < result["table"]["model"]["fvd8"] < high
    assert list(result["curves"]) == ["fvd_window16", "fvd8_window8"]
