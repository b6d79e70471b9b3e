"""Short vectors of float32 for numba, so that kernels say what is vectorised instead of hoping for it.

`float32xN` lives in a register inside compiled code only. Offsets count floats from the start of a C-contiguous array;
nothing is bounds-checked. LLVM splits a vector into what the machine has (one AVX-512 register, two of AVX2, four of
NEON). This module imports numba: import it only from kernels that are themselves imported late. numba's cache does not
see edits of this file: delete ``data/__pycache__`` after one.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, models, register_model

CONTRACT = ("contract",)  # lets a product and a sum become one fused instruction, and nothing else
FAST = ("fast",)  # reciprocal estimates with a Newton step: about 1e-7 relative, several times faster


class FloatVector(types.Type):
    """The numba type of `lanes` float32 values."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"float32x{lanes}")


@register_model(FloatVector)
class _FloatVectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: FloatVector) -> None:
        super().__init__(dmm, fe_type, ir.VectorType(ir.FloatType(), fe_type.lanes))


FLOAT32X8 = FloatVector(8)
FLOAT32X16 = FloatVector(16)


def _register_operator(function: Any, instruction: str) -> None:
    class Template(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            if len(args) == 2 and isinstance(args[0], FloatVector) and args[0] == args[1]:
                return signature(args[0], *args)
            return None

    infer_global(function)(Template)

    @lower_builtin(function, FloatVector, FloatVector)
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        flags = FAST if instruction == "fdiv" else CONTRACT
        return getattr(builder, instruction)(*args, flags=flags)


for _function, _instruction in (
    (operator.add, "fadd"),
    (operator.iadd, "fadd"),
    (operator.sub, "fsub"),
    (operator.isub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _register_operator(_function, _instruction)


def _address(context: Any, builder: Any, array_type: Any, array: Any, offset: Any, element: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), element.as_pointer())


def _constant(lanes: int, value: float) -> Any:
    return ir.Constant(ir.VectorType(ir.FloatType(), lanes), [value] * lanes)


def _splat(builder: Any, scalar: Any, lanes: int) -> Any:
    vector = ir.VectorType(scalar.type, lanes)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)


def _make_load(vector: FloatVector) -> Any:
    @intrinsic
    def load(typingctx: Any, array: Any, offset: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            value_type = context.get_value_type(vector)
            return builder.load(_address(context, builder, sig.args[0], args[0], args[1], value_type), align=4)

        return vector(array, types.int64), codegen

    return load


def _make_splat(vector: FloatVector) -> Any:
    @intrinsic
    def splat(typingctx: Any, scalar: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return _splat(builder, args[0], vector.lanes)

        return vector(types.float32), codegen

    return splat


load8 = _make_load(FLOAT32X8)
load16 = _make_load(FLOAT32X16)
splat8 = _make_splat(FLOAT32X8)
splat16 = _make_splat(FLOAT32X16)


@intrinsic
def store(typingctx: Any, array: Any, offset: Any, vector: Any) -> Any:
    """Write a vector at ``array.ravel()[offset:]``."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        address = _address(context, builder, sig.args[0], args[0], args[1], args[2].type)
        builder.store(args[2], address, align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, vector), codegen


@intrinsic
def reciprocal_sqrt(typingctx: Any, vector: Any) -> Any:
    """1 / sqrt(x) of positive values."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(args[0].type, [args[0].type])
        sqrt = builder.module.declare_intrinsic(f"llvm.sqrt.v{vector.lanes}f32", fnty=kind)
        root = builder.call(sqrt, args, fastmath=FAST)
        return builder.fdiv(_constant(vector.lanes, 1.0), root, flags=FAST)

    return vector(vector), codegen


@intrinsic
def clamp(typingctx: Any, vector: Any, upper: Any) -> Any:
    """Limit to [0, upper]; not a number becomes 0."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        zero, top = _constant(vector.lanes, 0.0), _splat(builder, args[1], vector.lanes)
        positive = builder.select(builder.fcmp_ordered(">", args[0], zero), args[0], zero)
        return builder.select(builder.fcmp_ordered("<", positive, top), positive, top)

    return vector(vector, types.float32), codegen


@intrinsic
def within(typingctx: Any, vector: Any, upper: Any) -> Any:
    """1.0 in the lanes whose value lies in [0, upper], otherwise 0.0."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        zero, top = _constant(vector.lanes, 0.0), _splat(builder, args[1], vector.lanes)
        inside = builder.and_(builder.fcmp_ordered(">=", args[0], zero), builder.fcmp_ordered("<=", args[0], top))
        return builder.select(inside, _constant(vector.lanes, 1.0), zero)

    return vector(vector, types.float32), codegen


def _to_integers(builder: Any, vector: Any) -> Any:
    return builder.fptosi(vector, ir.VectorType(ir.IntType(32), vector.type.count))


@intrinsic
def truncate(typingctx: Any, vector: Any) -> Any:
    """Round towards zero; values must fit a 32-bit integer."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.sitofp(_to_integers(builder, args[0]), args[0].type)

    return vector(vector), codegen


@intrinsic
def store_positions(typingctx: Any, array: Any, offset: Any, rows: Any, columns: Any, width: Any) -> Any:
    """Write ``row * width + column`` of every lane as int32 at ``array.ravel()[offset:]``."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        row_numbers, column_numbers = _to_integers(builder, args[2]), _to_integers(builder, args[3])
        stride = _splat(builder, args[4], rows.lanes)
        positions = builder.add(builder.mul(row_numbers, stride), column_numbers)
        builder.store(positions, _address(context, builder, sig.args[0], args[0], args[1], positions.type), align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, rows, columns, types.int32), codegen


@intrinsic
def transpose_pixels(typingctx: Any, array: Any, offset: Any) -> Any:
    """Turn 16 pixels of 8 floats, in place, into 5 vectors of 16 lanes; floats 5 to 7 of a pixel are padding."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        block_type = ir.VectorType(ir.FloatType(), 128)
        block = builder.load(_address(context, builder, sig.args[0], args[0], args[1], block_type), align=4)
        for channel in range(5):
            lanes = ir.Constant(ir.VectorType(ir.IntType(32), 16), [8 * lane + channel for lane in range(16)])
            vector = builder.shuffle_vector(block, ir.Constant(block_type, ir.Undefined), lanes)
            place = builder.add(args[1], ir.Constant(ir.IntType(64), 16 * channel))
            builder.store(vector, _address(context, builder, sig.args[0], args[0], place, vector.type), align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64), codegen
