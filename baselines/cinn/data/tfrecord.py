"""TFRecord files of ``tf.train.Example`` messages, read without TensorFlow.

A record is its length (8 bytes, little endian), a checksum of that, the message, a checksum of the message. A message
is a protocol buffer: fields with a number and a wire type. Checksums of messages are not looked at.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

HEADER, FOOTER = 12, 4  # bytes before and after a message
Feature = list[bytes] | np.ndarray  # of bytes, float32 or int64


def record_offsets(path: Path) -> list[tuple[int, int]]:
    """Where each message of a file begins, and its length in bytes.

    Raises:
        ValueError: no TFRecord file, or one that was cut off.
    """
    offsets, position, size = [], 0, path.stat().st_size
    with path.open("rb") as file:
        while position < size:
            file.seek(position)
            header = file.read(HEADER)
            if len(header) < HEADER or masked_crc(header[:8]) != struct.unpack("<I", header[8:])[0]:
                raise ValueError(f"{path}: not a TFRecord file, or damaged at byte {position}; fetch it again")
            (length,) = struct.unpack("<Q", header[:8])
            offsets.append((position + HEADER, length))
            position += HEADER + length + FOOTER
    if position != size:
        raise ValueError(f"{path}: cut off, its last record is not whole; fetch it again")
    return offsets


def read_example(path: Path, offset: int, length: int) -> dict[str, Feature]:
    """The features of one ``tf.train.Example`` by name.

    Raises:
        ValueError: the message is something else.
    """
    with path.open("rb") as file:
        file.seek(offset)
        message = file.read(length)
    try:
        return {
            name: value
            for _, features in fields(message)  # Example.features
            for _, entry in fields(_bytes(features))  # Features.feature, a map
            for name, value in [_map_entry(_bytes(entry))]
        }
    except (IndexError, ValueError, struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: the record at byte {offset} is no tf.train.Example ({error})") from None


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a protocol buffer: whole numbers, or bytes for all that is longer."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, kind = key >> 3, key & 7
        value: int | bytes
        if kind == 0:
            value, position = _varint(message, position)
        else:
            if kind == 2:
                length, position = _varint(message, position)
            elif kind in (1, 5):
                length = 8 if kind == 1 else 4
            else:
                raise ValueError(f"wire type {kind}")
            if position + length > len(message):
                raise ValueError("a field is longer than its message")
            value, position = message[position : position + length], position + length
        yield number, value


def _map_entry(entry: bytes) -> tuple[str, Feature]:
    parts = dict(fields(entry))
    for kind, values in fields(_bytes(parts.get(2, b""))):
        return _bytes(parts[1]).decode(), _values(kind, _bytes(values))
    return _bytes(parts[1]).decode(), []


def _values(kind: int, message: bytes) -> Feature:
    """A BytesList (1), FloatList (2) or Int64List (3), whose numbers may be packed or not."""
    found = [value for number, value in fields(message) if number == 1]
    if kind == 1:
        return [_bytes(value) for value in found]
    if kind == 2:
        return np.frombuffer(b"".join(_bytes(value) for value in found), "<f4")
    numbers: list[int] = []
    for value in found:
        numbers += [value] if isinstance(value, int) else _varints(value)
    return np.array([n - (1 << 64) if n >= 1 << 63 else n for n in numbers], dtype=np.int64)


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where a message is expected")
    return value


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position


def _varints(message: bytes) -> list[int]:
    numbers, position = [], 0
    while position < len(message):
        value, position = _varint(message, position)
        numbers.append(value)
    return numbers


def masked_crc(data: bytes) -> int:
    """The checksum of TFRecord files: CRC-32C, rotated and shifted by a constant."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
