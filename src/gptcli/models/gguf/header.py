"""Read the header of a GGUF file; no size in it is trusted before it is checked.

Vocabularies and tensor data are skipped. The format is described in docs/gguf.md of ggml-org/ggml; the bounds are those
of ggml/src/gguf.cpp."""

from __future__ import annotations

import math
import mmap
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from gptcli.errors import LoadError
from gptcli.models.files import open_without_atime
from gptcli.models.gguf.quantization import FILE_TYPES, TENSOR_TYPES, TensorType

Scalar = bool | int | float | str

_STRING, _ARRAY = 8, 9
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_WIDTHS = {code: struct.calcsize(f"<{letter}") for code, letter in _FORMATS.items()}
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_MAX_STRING = 1 << 24
"""Bytes of one string (a chat template, a licence). No real one comes near; a damaged length soon exceeds it."""
_MAX_NUMBERS = 1024
"""Arrays of numbers up to this length (one per layer) are read; longer ones are skipped like vocabularies."""
_MAX_DIMENSIONS = 4
_MAX_NAME = 63
DAMAGE_HINT = "Download or copy it again."


@dataclass(frozen=True, slots=True)
class Array:
    """A skipped array: the GGUF type of its `count` items, and the byte at which they start."""

    kind: int
    count: int
    start: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """`shape` is innermost first, `offset` counts from the start of the data section, `size` is in bytes."""

    name: str
    shape: tuple[int, ...]
    type: TensorType
    offset: int
    size: int

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a GGUF file. `tensors` is empty if it was read up to the tokenizer only."""

    path: Path
    file_size: int
    version: int
    metadata: dict[str, Scalar | tuple[int | float | bool, ...]]
    arrays: dict[str, Array]
    tensors: tuple[Tensor, ...]

    def text(self, key: str) -> str | None:
        value = self.metadata.get(key)
        return value if isinstance(value, str) else None

    def number(self, key: str) -> int | None:
        value = self.metadata.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    @property
    def architecture(self) -> str:
        """llama.cpp's name of the architecture: `gpt2`, `llama`."""
        return self.text("general.architecture") or ""

    def own(self, key: str) -> int | None:
        """The architecture's integer under `key`: `context_length`, `embedding_length`."""
        return self.number(f"{self.architecture}.{key}")

    def per_layer(self, key: str) -> list[int] | None:
        """The architecture's number of each layer, whether the file has one for all or one per layer."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        if isinstance(value, int):
            value = (value,) * min(self.own("block_count") or 0, _MAX_NUMBERS)
        return [int(item) for item in value] if isinstance(value, tuple) else None

    @property
    def parameters(self) -> int:
        """The number of parameters in this file (one part of a split model)."""
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def quantization(self) -> str:
        """The file type by llama.cpp's name, `Q4_K_M`; if the file has none, the type of most of its bytes."""
        file_type = self.number("general.file_type")
        if file_type in FILE_TYPES:
            return FILE_TYPES[file_type]
        sizes: Counter[str] = Counter()
        for tensor in self.tensors:
            sizes[tensor.type.name] += tensor.size
        return sizes.most_common(1)[0][0] if sizes else "?"


def read_header(path: Path, *, upto_tokenizer: bool = False) -> Header:
    """Read the header of `path`. Raises LoadError for a file that is not GGUF, truncated or damaged.

    `upto_tokenizer` stops at the first vocabulary (its length is still read), in 0.1 instead of 7 ms; the length of the
    whole file is then not checked."""
    with Reader(path) as reader:
        return reader.header(upto_tokenizer)


class Reader:
    """An open GGUF file, read from front to back within its bounds."""

    def __init__(self, path: Path) -> None:
        """Raises LoadError if the file cannot be read or is not GGUF."""
        self._path = path
        try:
            with open(path, "rb", opener=open_without_atime) as file:
                start = file.read(4)
                if start != b"GGUF":
                    raise LoadError(f"{path} is not a GGUF file{_guess_kind(start)}.", "Give the path of a GGUF file.")
                self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise LoadError(f"{path} cannot be read: {error.strerror}.") from error
        self.size = len(self.data)
        self._at = 4

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.data.close()

    def header(self, upto_tokenizer: bool = False) -> Header:
        version = self._u32()
        if version not in (2, 3):
            swapped = " (big-endian)" if version & 0xFFFF == 0 and version else ""
            raise LoadError(
                f"{self._path} is GGUF version {version}{swapped}; gptcli reads versions 2 and 3.",
                "Get a newer conversion of this model.",
            )
        tensor_count, key_count = self._u64(), self._u64()
        if key_count * 13 + tensor_count * 24 > self.size:  # the minimum size of each
            raise self._damaged(f"it claims {tensor_count} tensors and {key_count} keys")
        metadata: dict[str, Scalar | tuple[int | float | bool, ...]] = {}
        arrays: dict[str, Array] = {}
        for _ in range(key_count):
            key = self._string(1024, "a key")
            if not key:
                raise self._damaged("a key is empty")
            if key in metadata or key in arrays:
                raise self._damaged(f"the key {key!r} occurs twice")
            kind = self._u32()
            if kind != _ARRAY:
                metadata[key] = self._scalar(kind, key)
                continue
            if upto_tokenizer and key.startswith("tokenizer."):
                arrays[key] = Array(self._u32(), self._u64(), self._at)
                return Header(self._path, self.size, version, metadata, arrays, ())
            array = self._array(key)
            if array.count <= _MAX_NUMBERS and array.kind in _FORMATS:
                layout = f"<{array.count}{_FORMATS[array.kind]}"
                metadata[key] = struct.unpack_from(layout, self.data, array.start)
            else:
                arrays[key] = array
        tensors = self._tensors(tensor_count, metadata.get("general.alignment", 32))
        return Header(self._path, self.size, version, metadata, arrays, tensors)

    def _tensors(self, count: int, alignment: object) -> tuple[Tensor, ...]:
        if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1):
            raise self._damaged(f"its alignment {alignment} is not a power of two")
        found, end = dict[str, Tensor](), 0
        for _ in range(count):
            tensor = self._tensor()
            if tensor.name in found:
                raise self._damaged(f"the tensor {tensor.name!r} occurs twice")
            if tensor.offset != end:
                raise self._damaged(f"the tensor {tensor.name!r} starts at {tensor.offset} instead of {end}")
            end = -(-(tensor.offset + tensor.size) // alignment) * alignment
            found[tensor.name] = tensor
        if found:
            needed = -(-self._at // alignment) * alignment + tensor.offset + tensor.size
            if needed > self.size:
                raise LoadError(f"{self._path} is truncated: it has {self.size} bytes and needs {needed}.", DAMAGE_HINT)
        return tuple(found.values())

    def _tensor(self) -> Tensor:
        name = self._string(_MAX_NAME, "the name of a tensor")
        dimensions = self._u32()
        if dimensions > _MAX_DIMENSIONS:
            raise self._damaged(f"the tensor {name!r} has {dimensions} dimensions")
        shape = tuple(self._u64() for _ in range(dimensions))
        kind = TENSOR_TYPES.get(self._u32())
        if kind is None:
            raise self._damaged(f"the tensor {name!r} has an unknown type")
        elements = math.prod(shape)
        if elements >= 1 << 62 or (shape[0] if shape else 1) % kind.block:
            raise self._damaged(f"the tensor {name!r} has the impossible shape {'x'.join(map(str, shape))}")
        return Tensor(name, shape, kind, self._u64(), elements // kind.block * kind.bytes)

    def _scalar(self, kind: int, key: str) -> Scalar:
        if kind == _STRING:
            return self._string(_MAX_STRING, key)
        if kind not in _FORMATS:
            raise self._damaged(f"the key {key!r} has the unknown type {kind}")
        start = self._step(_WIDTHS[kind])
        if kind == 7 and self.data[start] > 1:
            raise self._damaged(f"the key {key!r} is neither true nor false")
        value: Scalar = struct.unpack_from(f"<{_FORMATS[kind]}", self.data, start)[0]
        return value

    def _array(self, key: str) -> Array:
        kind, count = self._u32(), self._u64()
        start = self._at
        if kind == _STRING:
            self._skip_strings(count, key)
        elif kind in _WIDTHS:
            self._step(count * _WIDTHS[kind])
        else:
            raise self._damaged(f"the array {key!r} has the unknown type {kind}")
        return Array(kind, count, start)

    def _skip_strings(self, count: int, key: str) -> None:
        """Skip `count` strings by their lengths: the only slow part of a header (50 ns each)."""
        data, at, length_at = self.data, self._at, _U64.unpack_from
        try:
            for _ in range(count):
                at += 8 + length_at(data, at)[0]
        except (struct.error, OverflowError):
            at = self.size + 1
        if at > self.size:
            raise self._truncated(f"in the array {key!r}")
        self._at = at

    def strings(self, array: Array) -> list[bytes]:
        """The items of an array of strings that `header` has skipped."""
        data, at, length_at = self.data, array.start, _U64.unpack_from
        items = []
        for _ in range(array.count):
            end = at + 8 + length_at(data, at)[0]
            items.append(data[at + 8 : end])
            at = end
        return items

    def _string(self, limit: int, what: str) -> str:
        length = self._u64()
        if length > limit:
            raise self._damaged(f"{what} claims to be {length} bytes long")
        start = self._step(length)
        return self.data[start : start + length].decode("utf-8", "replace")

    def _u32(self) -> int:
        return int(_U32.unpack_from(self.data, self._step(4))[0])

    def _u64(self) -> int:
        return int(_U64.unpack_from(self.data, self._step(8))[0])

    def _step(self, count: int) -> int:
        """Advance by `count` bytes within the file; return where they start."""
        if count > self.size - self._at:
            raise self._truncated("in its header")
        self._at += count
        return self._at - count

    def _truncated(self, where: str) -> LoadError:
        return LoadError(f"{self._path} is truncated or damaged: its {self.size} bytes end {where}.", DAMAGE_HINT)

    def _damaged(self, what: str) -> LoadError:
        return LoadError(f"{self._path} is damaged: {what}.", DAMAGE_HINT)


def _guess_kind(start: bytes) -> str:
    if not start:
        return ": it is empty"
    kinds = {b"PK\x03\x04": "a zip or PyTorch file", b"lmgg": "an old GGML file", b"tjgg": "an old GGML file"}
    kinds |= {b"FUGG": "a GGUF file for big-endian machines", b"vers": "a Git LFS pointer", b"<!do": "a web page"}
    return f": it looks like {kinds[start]}" if start in kinds else ""
