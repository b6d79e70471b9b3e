"""What is decoded of videos, and whether they are closed again."""

from __future__ import annotations

import cv2
import pytest


def watch_decoder(monkeypatch: pytest.MonkeyPatch) -> list[str | int]:
    """Events of OpenCV's decoder from now on: "opened", numbers of the frames that are decoded, "closed"."""
    events: list[str | int] = []
    capture = cv2.VideoCapture

    class Watched:
        def __init__(self, *arguments: object) -> None:
            self._capture, self._next = capture(*arguments), 0
            events.append("opened")

        def grab(self) -> bool:
            there = self._capture.grab()
            if there:
                events.append(self._next)
                self._next += 1
            return there

        def release(self) -> None:
            self._capture.release()
            events.append("closed")

        def __getattr__(self, name: str) -> object:
            return getattr(self._capture, name)

    monkeypatch.setattr(cv2, "VideoCapture", Watched)
    return events
