"""How weights are stored in an ONNX file: in fewer bits than they are computed with.

The graph gets its float32 weights back by a few constant operations, which onnxruntime works out once when it loads the
file. So every backend computes as it would with the full file, and only the download is smaller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto

STORAGES = ("float32", "float16", "int8")
# What the page is built with by default: int8, but for the condition, whose errors every step of sampling inherits.
MIXED = {"condition": "float16", "denoise": "int8", "decode": "int8"}
FEWEST = 1024  # values of a tensor that is worth it; norms and biases stay as they are
LEVELS = 127


def store_weights(model: ModelProto, storage: str) -> ModelProto:
    """A copy of a model with its larger weights stored as one of :data:`STORAGES`, without word of where it was made.

    ``int8`` gives every slice along a tensor's first axis a scale of its own, its largest value over 127.
    """
    from onnx import ModelProto, numpy_helper

    if storage not in STORAGES:
        raise ValueError(f"unknown storage {storage!r}, expected one of {', '.join(STORAGES)}")
    stored = ModelProto()
    stored.CopyFrom(model)
    _forget_origins(stored)
    if storage == "float32":
        return stored
    write = _as_float16 if storage == "float16" else _as_int8
    kept, nodes = [], []
    for tensor in stored.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < FEWEST:
            kept.append(tensor)
            continue
        tensors, made = write(tensor.name, values)
        kept += tensors
        nodes += made
    nodes += stored.graph.node
    del stored.graph.initializer[:], stored.graph.node[:]
    stored.graph.initializer.extend(kept)
    stored.graph.node.extend(nodes)
    return stored


def _forget_origins(model: ModelProto) -> None:
    """Remove what is of no use to a runtime: shapes in between, and lines and paths of the code that was exported."""
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    model.doc_string = model.graph.doc_string = ""
    for part in (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""


def _as_float16(name: str, values: np.ndarray) -> tuple[list[Any], list[Any]]:
    from onnx import TensorProto, helper, numpy_helper

    tensor = numpy_helper.from_array(values.astype(np.float16), f"{name}_stored")
    return [tensor], [helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT)]


def _as_int8(name: str, values: np.ndarray) -> tuple[list[Any], list[Any]]:
    from onnx import TensorProto, helper, numpy_helper

    axes = tuple(range(1, values.ndim))
    scales = np.maximum(np.abs(values).max(axis=axes, keepdims=True), 1e-12) / LEVELS
    levels = numpy_helper.from_array(np.rint(values / scales).astype(np.int8), f"{name}_levels")
    scale = numpy_helper.from_array(scales.astype(np.float32), f"{name}_scales")
    cast = helper.make_node("Cast", [levels.name], [f"{name}_cast"], to=TensorProto.FLOAT)
    return [levels, scale], [cast, helper.make_node("Mul", [f"{name}_cast", scale.name], [name])]
