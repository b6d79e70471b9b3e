"""The page with its defaults, and start and stop of the server."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time

import pytest
from helpers.commands import heeding
from helpers.local_server import GatedPipeline, picture, start_server, until
from helpers.motion_models import tiny_model

import generate
from training.motion.model import with_wind


def test_the_page_is_told_the_command_lines_defaults(serving):
    options = ("--seed", "7", "--magnify", "4.5", "--size", "320x200", "--slow", "2")
    with serving(options=options) as client:
        told = client.ask("GET", "/manifest.json").json
        assert told["engine"] == "python"
        # Six frames at six a second, twice as slow, of a motion of five seconds.
        assert told["start"] == {"seed": 7, "amplitude": 4.5, "speed": 2.5, "wind": 1.0, "size": ""}
        assert told["sizes"][0] == ["", "320x200, as started"]
        photo = picture(400, 300)
        result = client.render(photo, client.motion(photo), speed=told["start"]["speed"]).result()
        assert (result["size"], result["duration"]) == ([320, 200], 2.0)
    with serving() as client:
        told = client.ask("GET", "/manifest.json").json
        assert told["start"]["size"] == "512"
        assert [size for size, _ in told["sizes"]] == ["256", "512", "1024"]


def test_wind_can_be_chosen_where_the_model_knows_it(serving, tmp_path):
    with serving() as client:
        assert client.ask("GET", "/manifest.json").json["model"]["wind"] is None
        assert client.send(picture(), wind="2").result()["error"].startswith("this motion model was trained")
    motion = with_wind(tiny_model()).eval()
    motion.usual_strength.fill_(1.0)
    with start_server(GatedPipeline(motion), tmp_path, options=("--wind", "strong")) as client:
        told = client.ask("GET", "/manifest.json").json
        assert (told["model"]["wind"], told["start"]["wind"]) == (1.0, 2.0)
        strong, same, weak = (client.motion(picture(), **wind) for wind in ({}, {"wind": 2}, {"wind": "0.5"}))
        assert strong == same != weak


def test_ending_the_server_removes_everything_even_in_the_middle_of_work(serving, tmp_path):
    with serving() as client:
        client.motion(picture())
        client.pipeline.gate.clear()
        sent = [client.send_until(stage) for stage in ("motion", "wait")]
        sending = client.post("Content-Length: 900\r\n", b"half")
        until(lambda: len(client.stored()) >= 6)  # a folder and a file for each of the three
        start = time.monotonic()
    assert time.monotonic() - start < 10
    for connection in (*sent, sending):
        connection.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "kill"])
def test_a_signal_ends_the_script_and_removes_the_folder(checkpoint, tmp_path, ending):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = heeding(generate.__file__, "--serve", "--port", "0")
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(
        [*command, "--checkpoint", str(checkpoint), "--device", "cpu"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        watch = threading.Timer(90, process.kill)  # leaving the block waits for the end
        watch.start()
        assert process.stdout
        assert process.stderr
        address = re.match(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
        assert address
        assert [path.name[:14] for path in temporary.iterdir()] == ["generate-serve"]
        process.send_signal(ending)
        assert process.wait(60) == 0
        assert process.stderr.read().strip() == "stopping"
        watch.cancel()
    assert list(temporary.iterdir()) == []


def test_a_port_that_is_taken_is_one_line(client, capsys):
    assert generate.main(["--serve", "--port", str(client.server.port)]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"error: --port {client.server.port}: Address already in use; ")
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--serve", "photo.png"], "a photo has no meaning"),
        (["--serve", "-o", "a.mp4"], "--output has no meaning"),
        (["--serve", "--poke", "1,1,1,1"], "--poke has no meaning"),
        (["--serve", "--show-motion"], "--show-motion has no meaning"),
        (["--serve", "--xt-slice", "0"], "--xt-slice has no meaning"),
        (["--serve", "--size", "wide"], "--size 'wide'"),
        (["--serve", "--size", "9x9"], "--size 9x9"),
        (["--serve", "--port", "70000"], "--port 70000: expected 0 to 65535"),
        (["--serve", "--steps", "0"], "--steps 0"),
        (["--serve", "--port", "0", "--checkpoint", "none"], "none: no such checkpoint folder"),
        ([], "no photo is given"),
    ],
)
def test_options_that_make_no_sense_are_one_line(arguments, complaint, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert generate.main([*arguments, "--device", "cpu"]) == 2
    message = capsys.readouterr().err
    assert complaint in message
    assert message.count("\n") == 1
