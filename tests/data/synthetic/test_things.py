"""What a photo shows: which regions sway, as what, and where they are held."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.flower_meadow import meadow

from data.synthetic.maps.networks import CLASS_NAMES
from data.synthetic.motion import Hinge
from data.synthetic.sequence import SceneParameters, synthetic_sequence
from data.synthetic.things.evidence import gather_evidence
from data.synthetic.things.flames import find_flames
from data.synthetic.things.heads import split_touching, without_stalk
from data.synthetic.things.reading import DOUBTFUL, MOVES, STILL, read_photo
from data.synthetic.things.thing import CropOfPhoto, Thing

HEIGHT, WIDTH = 200, 300


def daisy() -> tuple[np.ndarray, np.ndarray]:
    """A photo with one daisy on a stem before smooth dark green, and bool [H, W] of its head."""
    import cv2

    random = np.random.default_rng(0)
    photo = np.full((HEIGHT, WIDTH, 3), (20, 50, 25), np.float32)
    cv2.line(photo, (150, 90), (158, HEIGHT), (110, 150, 60), 5)
    head = np.zeros((HEIGHT, WIDTH), np.uint8)
    for angle in range(0, 360, 30):
        tip = (int(150 + 42 * np.cos(np.radians(angle))), int(70 + 42 * np.sin(np.radians(angle))))
        cv2.line(head, (150, 70), tip, 1, 14)
    photo[head > 0] = (245, 243, 238)
    cv2.circle(photo, (150, 70), 14, (215, 170, 20), -1)
    photo += random.normal(0, 6, photo.shape) * (head[..., None] + 0.2)
    return cv2.GaussianBlur(photo, (0, 0), 0.7).clip(0, 255).astype(np.uint8), head > 0


def class_map(**shares: np.ndarray | float) -> np.ndarray:
    """Class probabilities float32 [40, 60, 32] that are 0.9 for the named class where it is given, first ones first."""
    probabilities = np.full((40, 60, len(CLASS_NAMES)), 0.1 / len(CLASS_NAMES), np.float32)
    free = np.ones((40, 60), bool)
    for name, where in shares.items():
        here = free & (np.broadcast_to(where, free.shape) > 0)
        probabilities[here, CLASS_NAMES.index(name)] += 0.9
        free &= ~here
    return probabilities


def test_a_head_keeps_its_petals_and_stands_on_its_stem() -> None:
    photo, head = daisy()
    reading = read_photo(photo)
    assert reading.verdict == MOVES
    flowers = [thing for thing in reading.things if thing.kind == "flower"]
    assert len(flowers) == 1
    found = flowers[0].head
    assert found is not None
    assert (found & head).sum() > 0.9 * head.sum()
    assert (found & ~head).sum() < 0.15 * head.sum()
    hinge = flowers[0].hinge
    assert hinge.y > HEIGHT - 5, "the stem goes down to the edge of the photo"
    assert abs(hinge.x - 158) < 25
    assert flowers[0].mask[150, 150:162].any(), "the stem moves too"


def test_a_head_turns_as_one_piece() -> None:
    photo, _ = daisy()
    things = read_photo(photo).things
    parameters = SceneParameters(num_frames=24, num_frequencies=8, amplitude=6.0, photometric=0.0)
    sequence = synthetic_sequence(photo, 3, things=things, parameters=parameters, size=(120, 80), frame_indices=[7])
    motion = sequence.motion()
    moving = np.abs(motion).max(axis=(0, 3))
    t = int(np.abs(motion).max(axis=(1, 2, 3)).argmax())
    white = (sequence.first_frame.min(axis=2) > 190) & (moving > 0)
    assert white.sum() > 50
    ys, xs = np.nonzero(white)
    plane = np.stack([np.ones(len(ys)), xs, ys], axis=1)
    for axis in (0, 1):
        values = motion[t][white][:, axis]
        fitted = plane @ np.linalg.lstsq(plane, values, rcond=None)[0]
        assert np.abs(values - fitted).max() < 0.05 * np.abs(motion[t]).max(), "rigid: linear in x and y"
    dark = sequence.first_frame.max(axis=2) < 70
    far = dark & (moving == 0)
    assert far.sum() > 0.7 * dark.sum(), "what is behind is exactly still"


@pytest.mark.parametrize("category", ["negative", "fur", "building"])
def test_photos_of_still_things_have_no_motion(category: str) -> None:
    reading = read_photo(meadow(), category=category)
    assert (reading.verdict, reading.things) == (STILL, [])
    assert category in reading.note


def test_a_photo_of_walls_is_still_and_blur_is_doubtful() -> None:
    random = np.random.default_rng(1)
    bricks = np.kron(random.integers(90, 140, (20, 30, 1)), np.ones((10, 10, 1))).astype(np.uint8)
    bricks = np.repeat(bricks, 3, axis=2)
    assert read_photo(bricks, {"class_probabilities": class_map(wall=1)}).verdict == STILL
    assert read_photo(bricks).verdict == DOUBTFUL


def test_classes_tell_a_tree_that_stands_on_its_foot_and_a_field() -> None:
    random = np.random.default_rng(2)
    photo = np.full((HEIGHT, WIDTH, 3), (150, 190, 240), np.uint8)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    crown = np.hypot((x - 150) / 60, (y - 70) / 50) < 1
    trunk = (np.abs(x - 150) < 8) & (y > 100) & (y < 150)
    ground = y >= 150
    noise = random.integers(-40, 40, (HEIGHT, WIDTH, 1))
    for mask, color in ((crown, (40, 95, 30)), (trunk, (70, 50, 40)), (ground, (110, 120, 50))):
        photo = np.where(mask[..., None], np.clip(np.array(color) + noise, 0, 255), photo).astype(np.uint8)
    small = np.s_[2::5, 2::5]
    classes = class_map(tree=(crown | trunk)[small], field=ground[small], sky=1)
    reading = read_photo(photo, {"class_probabilities": classes}, category="tree")
    by_kind = {thing.kind: thing for thing in reading.things}
    assert set(by_kind) == {"tree", "field"}
    foot = by_kind["tree"].hinge
    assert (abs(foot.x - 150) < 15, foot.axis) == (True, (0.0, -1.0))
    assert 130 < foot.y < 160
    assert not (by_kind["tree"].mask & (y > 165)).any()
    lawn = np.where(ground[..., None], np.uint8(100), photo).astype(np.uint8)
    again = read_photo(lawn, {"class_probabilities": classes}, category="tree")
    assert "field" not in {thing.kind for thing in again.things}, "a smooth lawn stays still"


def test_flames_move_and_their_candles_do_not() -> None:
    import cv2

    photo = np.full((HEIGHT, WIDTH, 3), (12, 8, 8), np.uint8)
    cv2.rectangle(photo, (130, 110), (170, HEIGHT), (150, 60, 40), -1)
    cv2.ellipse(photo, (150, 85), (10, 24), 0, 0, 360, (255, 150, 40), -1)
    cv2.ellipse(photo, (150, 87), (7, 18), 0, 0, 360, (255, 250, 220), -1)
    flames = find_flames(gather_evidence(photo))
    assert len(flames) == 1
    assert flames[0].mask[87, 150]
    assert not flames[0].mask[125:].any()
    assert [thing.kind for thing in read_photo(photo).things] == ["flame"]
    assert {thing.kind for thing in read_photo(meadow(2)).things} == {"flower"}, "bright petals before leaves"


def test_curtains_hang_from_their_upper_edge() -> None:
    photo = np.random.default_rng(0).integers(80, 160, (HEIGHT, WIDTH, 3), np.uint8)
    y, x = np.mgrid[:40, :60]
    classes = class_map(curtain=(x > 10) & (x < 25) & (y > 4) & (y < 35), wall=1)
    things = read_photo(photo, {"class_probabilities": classes}, category="curtain").things
    assert [thing.kind for thing in things] == ["cloth"]
    assert things[0].hinge.axis == (0.0, 1.0)
    assert things[0].hinge.y < 40


def test_heads_that_touch_are_parted_and_stalks_cut_off() -> None:
    y, x = np.mgrid[:100, :160]
    two = (np.hypot(x - 50, y - 50) < 25) | (np.hypot(x - 97, y - 50) < 25)
    parts = split_touching(two)
    assert len(parts) == 2
    assert (parts[0] ^ parts[1])[two].all()
    assert len(split_touching(np.hypot(x - 50, y - 50) < 25)) == 1
    head = np.hypot(x - 80, y - 40) < 25
    whole = head | ((np.abs(x - 80) < 3) & (y > 40))
    assert not (without_stalk(whole) & ~head)[70:].any()


def test_a_thing_follows_its_crop() -> None:
    mask = np.zeros((100, 200), bool)
    mask[20:60, 50:90] = True
    thing = Thing("plant", mask, Hinge(60.0, 80.0, (0.6, -0.8), 50.0, 1.6), 1.0)
    crop = CropOfPhoto(40, 10, 100, 80, (200, 160), mirrored=True)
    moved = thing.moved(crop)
    assert moved is not None
    assert (moved.hinge.x, moved.hinge.y) == pytest.approx((159, 140))
    assert moved.hinge.axis == (-0.6, -0.8)
    assert moved.hinge.length == pytest.approx(100)
    assert moved.mask.sum() == pytest.approx(4 * mask.sum(), rel=0.05)
    assert thing.moved(CropOfPhoto(150, 0, 50, 40, (100, 80), mirrored=False)) is None
