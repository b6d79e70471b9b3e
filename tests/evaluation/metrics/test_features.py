import os

import pytest
import torch

from evaluation.metrics.features import (
    FeatureCache,
    checked_frames,
    clip_features,
    content_key,
    distinct_features,
    frame_features,
    windows,
)
from evaluation.networks.weights import cache_folder


class MeanColour:
    """A stand-in for a network: mean of each channel, of images or of clips; remembers how much it was given."""

    def __init__(self, name="colour", sha256="0" * 64):
        self.name, self.sha256, self.dimension = name, sha256, 3
        self.seen = []

    def __call__(self, pixels):
        assert pixels.dtype == torch.uint8
        self.seen.append(len(pixels))
        return pixels.float().movedim(-3, 1).flatten(2).mean(dim=2)


def video(num_frames=40, seed=0):
    return torch.randint(
        0, 256, (num_frames, 3, 6, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )


def test_windows_follow_one_another():
    frames = video(150)
    clips = windows(frames, 16)
    assert clips.shape == (9, 16, 3, 6, 8)
    assert torch.equal(clips[2], frames[32:48])
    assert windows(frames, 32).shape[0] == 4
    assert windows(frames[:16], 16).shape[0] == 1


def test_windows_with_a_stride_overlap():
    frames = video(40)
    clips = windows(frames, 16, stride=10)
    assert len(clips) == 3
    assert torch.equal(clips[1], frames[10:26])


def test_windows_of_a_short_video_are_refused_in_one_line():
    with pytest.raises(ValueError, match=r"^15-frame videos have no 16-frame window$"):
        windows(video(15), 16)
    with pytest.raises(ValueError, match="at least 1"):
        windows(video(15), 5, stride=0)


def test_equal_frames_are_computed_once():
    network, frames = MeanColour(), video(10)
    frames[3] = frames[7] = frames[0]
    features = frame_features(network, frames)
    assert network.seen == [8]
    assert torch.equal(features, MeanColour()(frames))
    still = frames[:1].expand(150, -1, -1, -1)
    assert torch.equal(frame_features(network, still), features[:1].expand(150, -1))
    assert network.seen == [8, 1]


def test_equal_clips_are_computed_once():
    network, frames = MeanColour(), video(16)
    features = clip_features(network, windows(torch.cat([frames, frames, frames.flip(0)]), 16))
    assert network.seen == [2]  # the reversed clip is another one
    assert features.shape == (3, 3)
    assert torch.equal(features[0], features[1])


def test_stored_features_spare_the_network(tmp_path):
    network, frames = MeanColour(), video()
    first = frame_features(network, frames, FeatureCache(tmp_path / "new"))
    again = frame_features(network, frames.clone(), FeatureCache(tmp_path / "new"))
    assert network.seen == [40]
    assert torch.equal(first, again)
    assert torch.equal(first, distinct_features(MeanColour(), frames))


def test_whatever_changes_features_misses_the_cache(tmp_path):
    cache, network, frames = FeatureCache(tmp_path), MeanColour(), video()
    frame_features(network, frames, cache)
    changed = frames.clone()
    changed[20, 1, 2, 3] += 1
    assert not torch.equal(frame_features(network, changed, cache), frame_features(network, frames, cache))
    assert network.seen == [40, 40]
    other_weights, other_name = MeanColour(sha256="1" * 64), MeanColour(name="other")
    for other in (other_weights, other_name):
        frame_features(other, frames, cache)
        assert other.seen == [40]


def test_clips_and_frames_of_one_video_have_keys_of_their_own():
    network, frames = MeanColour(), video(32)
    contents = (frames, windows(frames, 16), windows(frames, 32), frames.transpose(2, 3))
    assert len({content_key(network, content) for content in contents}) == 4
    assert content_key(network, windows(frames, 16)) == content_key(network, frames.view(2, 16, 3, 6, 8))


@pytest.mark.parametrize("damage", [b"", b"no safetensors", None])
def test_damaged_features_are_computed_again(tmp_path, damage):
    network, frames = MeanColour(), video()
    expected = frame_features(network, frames, FeatureCache(tmp_path))
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-8] if damage is None else damage)
    assert torch.equal(frame_features(network, frames, FeatureCache(tmp_path)), expected)
    assert torch.equal(frame_features(network, frames, FeatureCache(tmp_path)), expected)
    assert network.seen == [40, 40]


def test_features_that_are_not_finite_are_not_stored(tmp_path):
    class Broken(MeanColour):
        def __call__(self, pixels):
            return super().__call__(pixels) * torch.nan

    assert frame_features(Broken(), video(), FeatureCache(tmp_path)).isnan().all()
    assert not list(tmp_path.iterdir())


def test_the_longest_unused_features_go_first(tmp_path):
    network = MeanColour()
    cache = FeatureCache(tmp_path)
    for seed in range(3):
        frame_features(network, video(seed=seed), cache)
        os.utime(tmp_path / f"{content_key(network, video(seed=seed))}.safetensors", (seed, seed))
    frame_features(network, video(seed=0), cache)  # used again
    size = max(path.stat().st_size for path in tmp_path.iterdir())
    small = FeatureCache(tmp_path, limit_bytes=3 * size)
    frame_features(network, video(seed=3), small)
    kept = {path.stem for path in tmp_path.iterdir()}
    assert kept == {content_key(network, video(seed=seed)) for seed in (0, 2, 3)}


def test_a_cache_can_be_cleared(tmp_path):
    cache = FeatureCache(tmp_path)
    frame_features(MeanColour(), video(), cache)
    cache.clear()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path):
    (tmp_path / "file").write_text("")
    cache = FeatureCache(tmp_path / "file" / "features")
    assert frame_features(MeanColour(), video(), cache).shape == (40, 3)
    assert "could not be stored" in cache.problem


def test_the_default_folder_lies_beside_the_weights():
    assert FeatureCache().folder == cache_folder().parent / "features"


def test_frames_that_are_no_pictures_are_refused_in_one_line():
    assert checked_frames(video(), "model, sequence a").shape == (40, 3, 6, 8)
    broken = torch.zeros(5, 3, 4, 4)
    broken[3, 0, 1, 1] = torch.nan
    with pytest.raises(ValueError, match=r"^model, sequence a: frame 3 has values that are not finite"):
        checked_frames(broken, "model, sequence a")
    with pytest.raises(ValueError, match=r"sequence a: frames must be uint8, got float32"):
        checked_frames(torch.zeros(5, 3, 4, 4), "model, sequence a")
    with pytest.raises(ValueError, match=r"\[T, 3, H, W\], got \[0, 3, 6, 8\]"):
        checked_frames(video()[:0], "model, sequence a")
