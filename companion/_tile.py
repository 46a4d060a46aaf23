"""Between rows, where time is contiguous, and tiles, where channels lie side by side: blocks transposed in registers.

Written as a loop, the copy becomes one scattered store an element, which costs as much as the recurrence it serves.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from companion._jit import compiled


def _lanes(dtype: Any) -> int:
    return 64 // (dtype.bitwidth // 8)


@intrinsic
def block_size(typingctx: Any, array: Any) -> Any:
    """Rows and columns of the blocks that `transpose_block` moves for the dtype of `array`: 64 bytes."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_constant(types.intp, _lanes(array.dtype))

    return types.intp(array), codegen


@intrinsic
def transpose_block(
    typingctx: Any, source: Any, first: Any, pitch: Any, target: Any, target_first: Any, target_pitch: Any
) -> Any:
    """target[target_first + j * target_pitch + i] = source[first + i * pitch + j] for i, j < block_size.

    Both arrays are contiguous and counted in elements, whatever their shape.
    """
    size = _lanes(source.dtype)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        element = context.get_data_type(source.dtype)
        vector, align = ir.VectorType(element, size), source.dtype.bitwidth // 8

        def row(array: int, index: int) -> Any:
            data = context.make_array(signature.args[array])(context, builder, args[array]).data
            offset = builder.add(args[array + 1], builder.mul(args[array + 2], ir.IntType(64)(index)))
            return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())

        rows = [builder.load(row(0, i), align=align) for i in range(size)]
        distance = size // 2
        while distance:  # exchange the off-diagonal quarters of each 2 x 2 arrangement of blocks, ever smaller ones
            for i in (i for i in range(size) if not i & distance):
                a, b = rows[i], rows[i + distance]
                upper = [j if not j & distance else size + j - distance for j in range(size)]
                lower = [j + distance if not j & distance else size + j for j in range(size)]
                rows[i], rows[i + distance] = _shuffle(builder, a, b, upper), _shuffle(builder, a, b, lower)
            distance //= 2
        for j, moved in enumerate(rows):
            builder.store(moved, row(3, j), align=align)
        return context.get_dummy_value()

    return types.void(source, first, pitch, target, target_first, target_pitch), codegen


def _shuffle(builder: Any, a: Any, b: Any, order: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order))


@compiled(error_model="numpy", forceinline=True)
def row_of(rows, i, c, start, length):  # type: ignore[no-untyped-def]
    """Bars start..start+length of channel c of sequence i; `rows` as in `mamba._threads.Rows`."""
    memory, to_batch, to_channel = rows
    first = i * to_batch + c * to_channel + start
    return memory[first : first + length]


@compiled(error_model="numpy", forceinline=True)
def load_tile(tile, source, i, first, width, start, length):  # type: ignore[no-untyped-def]
    """Copy bars start..start+length of `width` channels into tile[bar, lane]; lanes beyond them get 0."""
    memory, to_batch, to_channel = source
    size, lanes = block_size(tile), tile.shape[1]
    blocks = length // size * size
    for k in range(lanes):
        origin = i * to_batch + (first + k) * to_channel + start
        whole = k // size * size + size <= width  # the block of lanes that k is in
        if whole and k % size == 0:
            for t in range(0, blocks, size):
                transpose_block(memory, origin + t, to_channel, tile, t * lanes + k, lanes)
        if k < width:
            for t in range(blocks if whole else 0, length):
                tile[t, k] = memory[origin + t]
        else:
            for t in range(length):
                tile[t, k] = 0


@compiled(error_model="numpy", forceinline=True)
def store_tile(target, tile, i, first, width, start, length):  # type: ignore[no-untyped-def]
    """Copy tile[bar, lane] back to bars start..start+length of `width` channels."""
    memory, to_batch, to_channel = target
    size, lanes = block_size(tile), tile.shape[1]
    blocks = length // size * size
    for k in range(width):
        origin = i * to_batch + (first + k) * to_channel + start
        whole = k // size * size + size <= width
        if whole and k % size == 0:
            for t in range(0, blocks, size):
                transpose_block(tile, t * lanes + k, lanes, memory, origin + t, to_channel)
        for t in range(blocks if whole else 0, length):
            memory[origin + t] = tile[t, k]
