"""Short vectors of float32 for numba, so that kernels say what is vectorised instead of hoping for it.

`float32xN` lives in a register inside compiled code only. Offsets count floats from the start of a C-contiguous array;
nothing is bounds-checked. LLVM splits a vector into what the machine has (one AVX-512 register, two of AVX2, four of
NEON). This module imports numba: import it only from kernels that are themselves imported late.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
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
def load_term(typingctx: Any, terms: Any, offset: Any) -> Any:
    """16 lanes of a source's term: ``terms.ravel()[offset]`` for all of them if ``terms`` is ``[H, W, 4, 5]``, the
    source of every lane; ``terms.ravel()[16 * offset:]`` if it is ``[H, W, 4, 5, 16]``, a source for each lane.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = context.get_value_type(FLOAT32X16)
        if sig.args[0].ndim == 4:
            data = context.make_array(sig.args[0])(context, builder, args[0]).data
            return _splat(builder, builder.load(builder.gep(data, [args[1]])), 16)
        place = builder.mul(args[1], ir.Constant(ir.IntType(64), 16))
        return builder.load(_address(context, builder, sig.args[0], args[0], place, vector), align=4)

    return FLOAT32X16(terms, types.int64), codegen


@intrinsic
def prefetch(typingctx: Any, array: Any, offset: Any) -> Any:
    """Start to fetch ``array.ravel()[offset]`` into the cache; an offset outside the array does nothing."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        address = _address(context, builder, sig.args[0], args[0], args[1], ir.IntType(8))
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [address, number(0), number(3), number(1)])  # to read, into all caches, data
        return context.get_dummy_value()

    return types.void(array, types.int64), codegen


@intrinsic
def clamp(typingctx: Any, vector: Any, lower: Any, upper: Any) -> Any:
    """Limit to [lower, upper]; not a number becomes ``lower``."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bottom, top = (_splat(builder, limit, vector.lanes) for limit in args[1:])
        above = builder.select(builder.fcmp_ordered(">", args[0], bottom), args[0], bottom)
        return builder.select(builder.fcmp_ordered("<", above, top), above, top)

    return vector(vector, types.float32, types.float32), codegen


@intrinsic
def within(typingctx: Any, vector: Any, lower: Any, upper: Any) -> Any:
    """1.0 in the lanes whose value lies in [lower, upper], otherwise 0.0."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bottom, top = (_splat(builder, limit, vector.lanes) for limit in args[1:])
        inside = builder.and_(builder.fcmp_ordered(">=", args[0], bottom), builder.fcmp_ordered("<=", args[0], top))
        return builder.select(inside, _constant(vector.lanes, 1.0), _constant(vector.lanes, 0.0))

    return vector(vector, types.float32, types.float32), codegen


@intrinsic
def floor(typingctx: Any, vector: Any) -> Any:
    """The largest whole numbers that are not above the values."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(args[0].type, [args[0].type])
        return builder.call(builder.module.declare_intrinsic(f"llvm.floor.v{vector.lanes}f32", fnty=kind), args)

    return vector(vector), codegen


@intrinsic
def store_positions(typingctx: Any, array: Any, offset: Any, start: Any, rows: Any, columns: Any, width: Any) -> Any:
    """Write ``start + row * width + column`` of every lane as int32 at ``array.ravel()[offset:]``; whole numbers."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = ir.VectorType(ir.IntType(32), rows.lanes)
        row_numbers, column_numbers = builder.fptosi(args[3], vector), builder.fptosi(args[4], vector)
        moved = builder.add(builder.mul(row_numbers, _splat(builder, args[5], rows.lanes)), column_numbers)
        positions = builder.add(_splat(builder, args[2], rows.lanes), moved)
        builder.store(positions, _address(context, builder, sig.args[0], args[0], args[1], positions.type), align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int32, rows, columns, types.int32), codegen


@intrinsic
def transpose_pixels(typingctx: Any, pixels: Any, offset: Any, out: Any, place: Any) -> Any:
    """Turn 16 pixels of 8 floats into 5 vectors of 16 lanes in ``out``; floats 5 to 7 of a pixel are padding."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        block_type = ir.VectorType(ir.FloatType(), 128)
        block = builder.load(_address(context, builder, sig.args[0], args[0], args[1], block_type), align=4)
        for channel in range(5):
            lanes = ir.Constant(ir.VectorType(ir.IntType(32), 16), [8 * lane + channel for lane in range(16)])
            vector = builder.shuffle_vector(block, ir.Constant(block_type, ir.Undefined), lanes)
            target = builder.add(args[3], ir.Constant(ir.IntType(64), 16 * channel))
            builder.store(vector, _address(context, builder, sig.args[2], args[2], target, vector.type), align=4)
        return context.get_dummy_value()

    return types.void(pixels, types.int64, out, types.int64), codegen
