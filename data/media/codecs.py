"""Options of ffmpeg for video, so that a loop's file has no seam either.

A coded frame is the frame and some noise, and the noise of a frame and the next one agree, because the next one is
coded as what changes. The last frame and the first one, which is coded by itself, have nothing to do with each other:
there the noise changes all at once, in every round, by more than the picture does. So the first frame of a loop is
coded finely, and the last ones more and more finely, in steps too small to be seen: at the seam there is little noise
left on either side. Weighing the finest detail higher than libx264 does by itself (``psy-rd``), and smoothing blocks
less, keeps the frames between as sharp as the first one: much higher in large frames, whose finest detail coding takes
first, and hardly in small ones, where what it adds is noise. docs/performance.md has the figures.
"""

from __future__ import annotations

import numpy as np

CRF, LOOP_CRF = 18, 17
VP9_CRF, VP9_LOOP_CRF = 24, 6  # libvpx takes no quality for a single frame: a loop is coded finely as a whole
FIRST_QUANTIZER = 10
CLOSING_SECONDS = 1.0  # that the last frames gain on the first one in, and at most a quarter of the loop
CLOSING_RATE = 10.0  # bit rate of the last frame, in units of what it would get by itself
DETAIL_AT = (256, 512), (0.1, 1.2)  # the second figure of psy-rd (trellis) by a frame's longer side in pixels

# OpenCV decodes with the BT.601 matrix whatever the file says, browsers believe the tag: tagged BT.601 suits both.
# Frames carry these themselves (setparams), since what is only asked of the encoder gets lost on the way to it.
MATRIX, PRIMARIES, TRANSFER = "smpte170m", "bt709", "bt709"
COLORS = [
    "-vf",
    f"scale=out_color_matrix={MATRIX}:out_range=tv,format=yuv420p,"
    f"setparams=range=tv:colorspace={MATRIX}:color_primaries={PRIMARIES}:color_trc={TRANSFER}",
    *("-colorspace", MATRIX, "-color_primaries", PRIMARIES, "-color_trc", TRANSFER, "-color_range", "tv"),
]


def h264_options(loop_frames: int | None, fps: float, side: int) -> list[str]:
    """What ffmpeg is told for an MP4 or a MOV, which any browser and QuickTime play.

    Args:
        loop_frames: how many frames make a loop; None for a video that is not one.
        fps: frames a second.
        side: the longer side of a frame in pixels.
    """
    parameters, crf = f"colorprim={PRIMARIES}:transfer={TRANSFER}:colormatrix={MATRIX}", CRF
    if loop_frames is not None and loop_frames > 1:
        detail = f"psy-rd=2,{np.interp(side, *DETAIL_AT):.2f}:deblock=-2,-2"
        parameters, crf = f"{parameters}:{detail}:zones={zones(loop_frames, fps)}", LOOP_CRF
    coding = ["-vcodec", "libx264", "-crf", str(crf), "-preset", "medium", "-x264-params", parameters]
    return [*COLORS, *coding, "-movflags", "+faststart"]


def vp9_options(loop_frames: int | None) -> list[str]:
    """What ffmpeg is told for a WebM; the argument is that of :func:`h264_options`."""
    crf = VP9_CRF if loop_frames is None else VP9_LOOP_CRF
    return [*COLORS, "-vcodec", "libvpx-vp9", "-crf", str(crf), "-b:v", "0", "-cpu-used", "5", "-row-mt", "1"]


def zones(num_frames: int, fps: float) -> str:
    """How finely each frame of a loop is coded, as libx264 takes it: the first one, and the last ones one by one."""
    closing = min(round(CLOSING_SECONDS * fps), num_frames // 4)
    steps = [f"0,0,q={FIRST_QUANTIZER}"]
    for step in range(1, closing + 1):
        frame = num_frames - closing + step - 1
        steps.append(f"{frame},{frame},b={1 + (CLOSING_RATE - 1) * (step / closing) ** 2:.3f}")
    return "/".join(steps)
