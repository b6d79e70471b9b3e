"""How far, how fast and how much together things sway: measured, then written down here for scenes to draw from.

`data.synthetic.measure` measured it on 83 windows of 75 frames (30 a second) of 24 clips of real film and on 150
frames of 15 looping clips (CC0) of the paper's project page, at 256x144: film by coarse-to-fine flow, loops by DIS.
Film was shot in wind and loops are calm, so the ranges of `reach` go from the calmer to the windier of the two. The
comments give the 10th, 50th and 90th percentile over windows of reach, centroid of the spectrum and share of y.

The spectra of all kinds are much alike: 30 to 60 % of the power is below 0.45 Hz, about 16 % in each of the octaves up
to 1.7 Hz, 10 % from 1.7 to 3.4 Hz and 5 % from 3.4 to 7 Hz, without one clear peak. `TURBULENCE`, the resonances and
the overtones were set so that drawn series have such shares and the centroids measured for their kind.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KindOfMotion:
    """Ranges to draw from for one kind of thing."""

    reach: tuple[float, float]  # pixels at 256 px width: half the way of the tips, 10th and 90th percentile
    longest: float  # reach in lengths of the thing, at most: what is small or far moves few pixels
    resonance: tuple[float, float]  # Hz
    overtone: tuple[float, float]  # rms of the second, faster mode in that of the first
    upright: float  # share of the power that is in y
    ripple: tuple[float, float]  # reach of the motion within the thing (twigs, leaves, folds) in reaches of the whole
    faster: tuple[float, float]  # resonance of that in resonances of the whole


KINDS = {
    # Film 5.3, 7.8, 16 px, 1.2 Hz, 22 % in y (daffodils); loops 0.8, 2.1, 3.9 px, 0.6 to 1.8 Hz, 14 % (seven flowers).
    "flower": KindOfMotion((0.9, 9.0), 0.16, (0.5, 1.8), (0.2, 0.7), 0.16, (0.0, 0.0), (1.5, 2.5)),
    "bed": KindOfMotion((0.9, 7.0), 0.12, (0.5, 1.8), (0.2, 0.7), 0.16, (0.3, 0.7), (1.2, 2.0)),
    # Film, leaves: 1.3, 7.9, 17 px, 0.7 to 1.5 Hz, 35 %; holly under snow 1.1 to 1.3 px, 0.44 Hz. Loops: 3.5 px.
    "plant": KindOfMotion((0.9, 7.0), 0.08, (0.45, 1.6), (0.2, 0.6), 0.3, (0.3, 0.8), (1.5, 3.5)),
    # Film: 3.4, 14, 17 px, 0.8 to 2.0 Hz, 46 % (macros of reeds and ears).
    "grass": KindOfMotion((1.5, 12.0), 0.2, (0.55, 2.0), (0.2, 0.7), 0.35, (0.2, 0.5), (1.3, 2.5)),
    # Film: 1.0, 7.9, 27 px, 1.1 to 1.9 Hz, 54 %; clips from near among them, so the upper end was left out.
    "field": KindOfMotion((0.8, 6.0), 0.1, (0.6, 2.0), (0.2, 0.7), 0.35, (0.2, 0.5), (1.3, 2.5)),
    # Film, trees: 4.2, 5.8, 7.1 px, 1.0 Hz, 19 %; branches 2.5, 8, 19 px, 1.2 Hz, 27 %. Loops: 1.9, 2.8 px, 0.45 Hz.
    "tree": KindOfMotion((1.2, 7.0), 0.035, (0.35, 1.3), (0.1, 0.5), 0.22, (0.5, 1.2), (1.5, 3.5)),
    # Loops: 1.1, 1.3, 1.6 px, 0.8 Hz, 16 % (laundry, lantern). Film has flags alone, 28 to 44 px.
    "cloth": KindOfMotion((0.8, 5.0), 0.1, (0.4, 1.2), (0.05, 0.3), 0.16, (0.2, 0.5), (1.3, 2.0)),
    # Film: 0.8, 2.1 px (darkness gives wild flow above), 0.8 to 3.2 Hz, 26 %; loops 1.5, 1.6, 2.1 px, 0.7 Hz, 38 %.
    "flame": KindOfMotion((0.7, 4.0), 0.3, (0.6, 3.0), (0.2, 0.8), 0.3, (0.0, 0.0), (1.5, 2.5)),
}
DAMPING = (0.1, 0.4)  # ratio to critical damping; peaks in the spectra are low and broad
TURBULENCE = (-0.5, 6.0)  # power of the frequency, and Hz of the exponential decay, of a gust's amplitude
OVERTONE = (2.5, 4.5)  # resonance of the second mode in that of the first
# Film: pixels a quarter of the width apart move 0.05 to 0.16 s after each other, so that a gust takes 0.2 to 0.65 s for
# the width; loops 0.02 to 0.41 s. Their motion in the same phase is 0.2 to 0.7 of all, a sixteenth apart 0.5 to 0.9.
CROSSING = (0.15, 1.6)  # seconds that a gust needs for the width of the picture
COHERENCE = (0.5, 0.95)  # share of a gust that things feel together
