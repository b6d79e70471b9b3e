"""The networks that look at a photo, each on one thread and each optional.

- DeepLabv3+ with MobileNetV2 on ADE20K, 31 classes, int8 TFLite (mlcommons/mobile_models v0_7): scores of classes;
- IS-Net (xuebinqin/DIS): the matte of the subject, fine at edges, often empty where a photo has no single subject;
- u2netp (xuebinqin/U-2-Net): a softer and coarser matte.

The first needs the package ai-edge-litert, the others onnxruntime.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.hashing import file_sha256

# Labels of ADE20K's scene parsing task in its own order, which is by frequency: 1 to 31 are its most frequent classes.
# 0 stands for all others, but the network was not trained to say it: flowers, animals and fruit become one of the 31,
# compact things in front mostly "person", blur behind them "wall" or "water".
CLASS_NAMES = (
    *("other", "wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "window", "grass"),
    *("cabinet", "sidewalk", "person", "earth", "door", "table", "mountain", "plant", "curtain", "chair", "car"),
    *("water", "painting", "sofa", "shelf", "house", "sea", "mirror", "rug", "field", "armchair"),
)
CANVAS_SIDE = 512  # pixels, the input of the class network
CELL = 4  # pixels of the canvas along a side of a cell of the class map
CANVAS_GRAY = 127  # what the canvas is filled with beside the photo; 0 after the network's normalisation
CLASS_LOGITS = "logits/semantic/BiasAdd"  # start of the name of the tensor of scores before they are enlarged
SUBJECT_SIDE, SALIENCY_SIDE = 1024, 320  # pixels, the inputs of IS-Net and u2netp
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# How photos are given to the networks; part of every file, so that a change here makes all files anew.
INPUT_HANDLING = {
    "photo_input": "RGB, EXIF orientation applied",
    "class_input": (
        "aspect kept: antialiased bilinear resize to 512 pixels on the long side and a multiple of 4 on the short "
        "side, at the top left of 512x512, rest gray 127, uint8 (zero point 127, scale 2/255); the map is cut to the "
        "photo: row i of h is at (i + 0.5) / h of the photo's height, columns alike"
    ),
    "subject_input": "stretched bilinearly to 1024x1024, (value - 128) / 256; output resized bilinearly to the photo",
    "saliency_input": (
        "stretched (Lanczos) to 320x320, divided by its maximum, ImageNet mean and deviation; output not stretched to "
        "0..255, resized bilinearly to the photo"
    ),
}


class ClassNetwork:
    """The class network of a TFLite file.

    Raises:
        ValueError: the package is missing, or the file is another network.
    """

    def __init__(self, path: Path) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise ValueError(f"{path}: needs the package ai-edge-litert; pip install ai-edge-litert") from error
        self.sha256 = file_sha256(path)
        # The file's own output is the argmax at 512x512, so the scores before it have to be kept
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors")
            try:
                self._interpreter = Interpreter(str(path), num_threads=1, experimental_preserve_all_tensors=True)
            except (ValueError, RuntimeError) as error:
                raise ValueError(f"{path}: not a TFLite network") from error
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        expected = (1, CANVAS_SIDE // CELL, CANVAS_SIDE // CELL, len(CLASS_NAMES))
        tensors = [d for d in self._interpreter.get_tensor_details() if d["name"].startswith(CLASS_LOGITS)]
        details = [d for d in tensors if tuple(d["shape"]) == expected]  # the bias has nearly the same name
        if len(details) != 1:
            raise ValueError(f"{path}: not the class network, it has no tensor {CLASS_LOGITS} of shape {expected}")
        self._logits = details[0]["index"]
        self.scale, self.zero_point = details[0]["quantization"]

    def logits(self, photo: Any) -> np.ndarray:
        """Quantised class scores int8 ``[h, w, 32]`` of a PIL photo; a score is ``scale * (value - zero_point)``."""
        canvas, (rows, columns) = letterbox(photo)
        self._interpreter.set_tensor(self._input, canvas[None])
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._logits)[0, : rows // CELL, : columns // CELL].copy()


class MatteNetwork:
    """A network of an ONNX file with one picture as input; the first output is the matte.

    Raises:
        ValueError: the package is missing, or the file is no ONNX network.
    """

    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ValueError(f"{path}: needs the package onnxruntime; pip install onnxruntime") from error
        self.sha256 = file_sha256(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions have no common base
            raise ValueError(f"{path}: not an ONNX network") from error
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name

    def matte(self, picture: np.ndarray) -> np.ndarray:
        """Matte float32 ``[S, S]`` in 0..1 of a normalised picture float32 ``[S, S, 3]``."""
        batch = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], dtype=np.float32)
        return self._session.run([self._output], {self._input: batch})[0][0, 0]


@dataclass(frozen=True)
class Networks:
    """Those that there are."""

    classes: ClassNetwork | None = None
    subject: MatteNetwork | None = None
    saliency: MatteNetwork | None = None

    def description(self) -> dict[str, str]:
        """What the files say about the networks."""
        described = dict(INPUT_HANDLING)
        for name, network in (("class", self.classes), ("subject", self.subject), ("saliency", self.saliency)):
            if network is None:
                described.pop(f"{name}_input")
            else:
                described[f"{name}_network_sha256"] = network.sha256
        if self.classes is not None:
            described["class_names"] = json.dumps(CLASS_NAMES)
            described["class_logits_scale"] = repr(float(self.classes.scale))
            described["class_logits_zero_point"] = str(int(self.classes.zero_point))
        return described

    def maps_of(self, photo: Any) -> dict[str, np.ndarray]:
        """The maps of a PIL photo of H rows and W columns, of each network that there is.

        - ``class_logits`` int8 ``[h, w, 32]``, the longer of h and w 128: quantised scores;
        - ``class_labels`` uint8 ``[h, w]``: the class with the largest score;
        - ``subject_matte`` uint8 ``[H, W]``: IS-Net, 255 is subject;
        - ``saliency_matte`` uint8 ``[H, W]``: u2netp, 255 is subject.
        """
        maps: dict[str, np.ndarray] = {}
        if self.classes is not None:
            maps["class_logits"] = self.classes.logits(photo)
            maps["class_labels"] = maps["class_logits"].argmax(axis=-1).astype(np.uint8)
        if self.subject is not None:
            maps["subject_matte"] = matte_of_photo(self.subject.matte(subject_input(photo)), photo.size)
        if self.saliency is not None:
            maps["saliency_matte"] = matte_of_photo(self.saliency.matte(saliency_input(photo)), photo.size)
        return maps


def letterbox(photo: Any) -> tuple[np.ndarray, tuple[int, int]]:
    """Put a PIL photo at the top left of a gray square, its aspect kept to within half a cell.

    Returns:
        The square uint8 ``[512, 512, 3]``, and how many rows and columns of it the photo takes: multiples of `CELL`.
    """
    from PIL import Image

    factor = CANVAS_SIDE / max(photo.size)
    columns, rows = (min(CANVAS_SIDE, max(CELL, CELL * round(side * factor / CELL))) for side in photo.size)
    canvas = np.full((CANVAS_SIDE, CANVAS_SIDE, 3), CANVAS_GRAY, np.uint8)
    canvas[:rows, :columns] = np.asarray(photo.resize((columns, rows), Image.Resampling.BILINEAR))
    return canvas, (rows, columns)


def subject_input(photo: Any) -> np.ndarray:
    """Input of IS-Net, float32 ``[1024, 1024, 3]`` in -0.5..0.5: the photo stretched to a square."""
    from PIL import Image

    square = photo.resize((SUBJECT_SIDE, SUBJECT_SIDE), Image.Resampling.BILINEAR)
    return (np.asarray(square, np.float32) - 128) / 256


def saliency_input(photo: Any) -> np.ndarray:
    """Input of u2netp, float32 ``[320, 320, 3]``: the photo stretched to a square, as rembg does it."""
    from PIL import Image

    square = np.asarray(photo.resize((SALIENCY_SIDE, SALIENCY_SIDE), Image.Resampling.LANCZOS), np.float32)
    return (square / max(square.max(), 1e-6) - np.array(IMAGENET_MEAN, np.float32)) / np.array(IMAGENET_STD, np.float32)


def matte_of_photo(matte: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a matte float ``[S, S]`` in 0..1 to uint8 ``[H, W]`` in 0..255, `size` being (W, H)."""
    from PIL import Image

    if not np.isfinite(matte).all():
        raise ValueError("the network gave values that are not finite")
    resized = Image.fromarray(matte.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    return np.rint(np.clip(np.asarray(resized), 0, 1) * 255).astype(np.uint8)
