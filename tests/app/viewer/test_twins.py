"""The page's numbers beside the Python ones."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.browser import OpenPage
from helpers.viewer_pages import COLUMNS, DOT, HEIGHT, PLAIN, WIDTH, basis, complexes, decoded, photo

from models.dynamics.events import Drag
from models.dynamics.oscillators import DampedOscillators, Damping, Transition
from models.dynamics.rig import ModalRig
from models.spectral_volume import resize_motion, superpose


def test_transitions_are_those_of_python(page: OpenPage):
    seconds, omega, gamma = np.meshgrid([0, 1e-4, 1 / 60, 0.3, 10], [0.2, 1.3, 6.0, 25], [0, 0.4, 2.6, 12, 50, 400])
    cases = np.stack([seconds, omega, gamma], -1).reshape(-1, 3)
    found = page.run("(cases) => cases.map((values) => transition(...values))", cases.tolist())
    for (step, w, g), values in zip(cases, found, strict=True):
        expected = Transition.over(step, np.array([w]), np.array([g]))
        for name in ("qq", "qv", "vq", "vv"):
            assert values[name] == pytest.approx(float(getattr(expected, name)[0]), rel=1e-9, abs=1e-12), (step, w, g)


@pytest.mark.slow
def test_modes_are_unpacked_as_in_python(page: OpenPage):
    values = page.run("Array.from(viewer.basis.values)")
    assert np.allclose(values, decoded().flatten().numpy(), rtol=1e-6, atol=1e-7)
    assert page.run("Array.from(viewer.basis.omega)") == pytest.approx(basis().angular_frequencies.tolist())
    assert page.run("viewer.basis.limit") == pytest.approx(basis().limit)
    assert page.run("viewer.basis.softness") == pytest.approx(basis().softness, rel=1e-5)


@pytest.mark.slow
def test_pulls_bend_as_in_python(page: OpenPage):
    twin = basis()
    for points, pulls in (([DOT], [3.0, -1.0]), ([(20.3, 17.6), (43.5, 20.25)], [2.0, 1.0, -1.0, 0.5])):
        expected = twin.pull(points, np.array(pulls))
        q = page.run(
            f"([points, d]) => ({PLAIN})(viewer.basis.pull(viewer.basis.shapesAt(points), d))", [points, pulls]
        )
        assert complexes(q) == pytest.approx(expected, rel=1e-4, abs=1e-6)
        shown = page.run(
            """(q) => {
            const list = (part) => Float64Array.from(Object.values(part));
            return viewer.basis.displacement({re: list(q.re), im: list(q.im)}).map((axis) => Array.from(axis));
        }""".replace("{{", "{").replace("}}", "}"),
            q,
        )
        field = twin.displacement(expected[None])[0, 0].flatten(1).numpy()
        assert np.abs(np.array(shown) - field).max() < 1e-4 * np.abs(field).max()
    for point in (DOT, (43.0, 20.0), (-0.4, 35.4)):
        assert page.run("(p) => viewer.basis.longestPull(p)", point) == pytest.approx(
            twin.longest_pull(point), rel=1e-4
        )
    cell = DOT[1] * COLUMNS + DOT[0]
    angles = np.linspace(0, np.pi, 181)
    best = max(float(twin.reach((math.cos(a), math.sin(a)))[DOT[1], DOT[0]]) for a in angles)
    assert page.run("(p) => viewer.basis.reach(p)", cell) == pytest.approx(best, abs=1e-4)


def test_held_and_released_points_move_as_in_python(page: OpenPage):
    drags = [
        Drag((20, 18), ((0.1, 0.0, 0.0), (0.25, 2.0, -0.5), (0.6, 1.0, 1.5))),
        Drag((44, 18), ((0.3, 0.0, 0.0), (0.45, -1.5, 0.0), (0.9, -1.5, 0.0))),
    ]
    twin = ModalRig(basis(), Damping())
    held: list[Drag] = []
    for step in range(80):
        moment = max(twin.time, step * 0.02 + (0.007 if step % 3 else 0.0))  # uneven steps
        page.run("(seconds) => viewer.rig.advance(seconds)", moment - twin.time)
        twin.advance(moment)
        for drag in held:
            page.run("(move) => viewer.rig.move(...move)", [drags.index(drag), *told(drag, moment)])
        for number, drag in enumerate(drags):
            if drag in held and drag.end <= moment:
                held.remove(drag)
                twin.let_go(drag)
                page.run("(pointer) => viewer.rig.letGo(pointer)", number)
            elif drag.start <= moment < drag.end and drag not in held:
                held.append(drag)
                twin.grab(drag)
                page.run(GRAB, [number, drag.point, *told(drag, moment)])
        found = page.run(f"[viewer.rig.coordinates(), viewer.rig.velocities()].map({PLAIN})")
        assert complexes(found[0]) == pytest.approx(twin.coordinates(), rel=1e-3, abs=1e-4), moment
        assert complexes(found[1]) == pytest.approx(twin.velocities(), rel=1e-3, abs=1e-3), moment


# Taken when the pointer has gone some way already, as between two frames.
GRAB = """([pointer, point, offset, velocity]) => {
    viewer.rig.hold(() => viewer.rig.held.set(pointer, {point, offset, velocity}));
}"""


def told(drag: Drag, moment: float) -> list:
    return [drag.offset(moment).tolist(), drag.velocity(moment).tolist()]


@pytest.mark.slow
def test_time_passes_the_same_in_few_steps_or_many(page: OpenPage):
    twin = DampedOscillators(basis().angular_frequencies, Damping())
    twin.v = basis().impulse(DOT, np.array([0.3, 0.1]))
    start = {"re": twin.v.real.tolist(), "im": twin.v.imag.tolist()}
    twin.advance(1.5)
    for steps in (1, 36, 360):
        found = page.run(
            f"""([v, steps]) => {{
            viewer.rig.stop();
            viewer.rig.modes.v = {{re: Float64Array.from(v.re), im: Float64Array.from(v.im)}};
            for (let k = 0; k < steps; k++) viewer.rig.advance(1.5 / steps);
            return ({PLAIN})(viewer.rig.modes.q);
        }}""",
            [start, steps],
        )
        assert complexes(found) == pytest.approx(twin.q, rel=1e-9, abs=1e-10)


@pytest.mark.slow
def test_wind_is_the_sampled_motion_after_a_soft_start(page: OpenPage):
    found = page.run(f"""() => {{
        setSlider('wind', 0.5);
        const first = ({PLAIN})(viewer.rig.coordinates());
        viewer.rig.advance(60.3);
        return [first, ({PLAIN})(viewer.rig.coordinates())];
    }}""")
    assert np.abs(complexes(found[0])).max() < 1e-12  # it does not jump
    expected = np.exp(1j * basis().angular_frequencies * 60.3)  # 2 a exp(i omega t), a = 1/2
    assert complexes(found[1]) == pytest.approx(expected, abs=1e-4)


def test_drawn_pixels_lie_where_python_puts_them(page: OpenPage):
    q = basis().pull([DOT], np.array([2.5, 1.0]))
    page.run(
        """([re, im]) => {
        viewer.rig.modes.q = {re: Float64Array.from(re), im: Float64Array.from(im)};
    }""",
        [q.real.tolist(), q.imag.tolist()],
    )
    drawn = torch.from_numpy(page.picture()).permute(2, 0, 1)[None].float()
    flow = superpose(decoded()[None], torch.from_numpy(q[None]))[:, 0]
    flow = resize_motion(flow, (HEIGHT, WIDTH))
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    goal = torch.stack([(x + flow[0, 0] + 0.5) / WIDTH, (y + flow[0, 1] + 0.5) / HEIGHT], -1)[None] * 2 - 1
    seen = F.grid_sample(drawn, goal, align_corners=False, padding_mode="border")
    error = (seen - (photo() + 1) * 127.5).abs().mean(1)[0]
    assert flow.abs().max() > 15  # pixels
    assert error[20:-20, 20:-20].mean() < 2.5  # JPEG and interpolation
    still = (drawn - (photo() + 1) * 127.5).abs().mean(1)[0]
    assert still.max() > 20 * error[20:-20, 20:-20].mean()
