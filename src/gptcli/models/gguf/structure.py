"""Check that a GGUF file is safe to load: llama.cpp's loader ends the process where one of its assertions fails.

What the loader refuses with an error (unknown architecture, missing tensors, wrong shapes) is left to it. The rules are
the assertions of llama.cpp in llama-cpp-python 0.3.36: llama-model.cpp `load_hparams`, llama-vocab.cpp `load`, ggml.c.
"""

from __future__ import annotations

import math
from pathlib import Path

from gptcli.errors import LoadError
from gptcli.models.gguf.header import Header, Reader, read_header
from gptcli.models.gguf.quantization import split_parts

_MAX_LAYERS = 512
_MAX_EXPERTS = 1024
_NOT_FOR_WEIGHTS = {"Q8_1", "Q8_K", "I8", "I16", "I32", "I64", "F64"}
_ROPE_SCALINGS = {"none", "linear", "yarn", "longrope"}
_HINT = "Download or copy it again."
_DEFAULT_BOS = {"llama": 1, "bert": 101, "gpt2": 11, "plamo2": 1}
_DEFAULT_EOS = {"llama": 2, "gpt2": 11, "t5": 1, "plamo2": 2}


def check(path: Path) -> Header:
    """Check every part of a model and return the first part's header. Raises LoadError.

    It reads the vocabulary, 30 ms for 50,000 tokens; `integrity.check` remembers the result.
    """
    parts = [path.with_name(name) for name in split_parts(path.name)]
    missing = sum(not part.exists() for part in parts)
    if missing:
        raise LoadError(f"{missing} of the {len(parts)} parts of {path} are missing.", "Download all of them.")
    with Reader(parts[0]) as reader:
        header = reader.header(tensors=True, upto_tokenizer=False)
        _check_kind(header)
        _Rules(header).check()
        _check_vocabulary(reader, header)
    for part in parts[1:]:
        _Rules(read_header(part)).check_tensors()
    return header


def _check_kind(header: Header) -> None:
    kind = header.text("general.type")
    if header.architecture == "clip" or kind in {"mmproj", "adapter", "imatrix"}:
        what = {"adapter": "an adapter", "imatrix": "an importance matrix"}.get(kind or "", "a projector for images")
        raise LoadError(f"{header.path} is {what}, not a model.", "Give the path of the model it belongs to.")
    if not header.architecture:
        raise LoadError(f"{header.path} does not name its architecture.", _HINT)


class _Rules:
    """The rules for a header's numbers and tensors."""

    def __init__(self, header: Header) -> None:
        self._header = header

    def check(self) -> None:
        self._check_layers()
        self._check_heads()
        self._check_experts()
        self._check_floats()
        self.check_tensors()

    def _require(self, valid: bool, what: str) -> None:
        if not valid:
            raise LoadError(f"{self._header.path} is damaged: {what}.", _HINT)

    def _check_layers(self) -> None:
        own = self._header.own
        for key, most in (("block_count", _MAX_LAYERS), ("embedding_length", 1 << 24), ("context_length", 1 << 31)):
            value = own(key)
            self._require(value is None or 0 < value <= most, f"its {key} is {value}")
        layers = own("block_count") or 0
        ahead = own("nextn_predict_layers") or 0
        self._require(ahead <= layers, f"it predicts ahead with {ahead} of {layers} layers")
        scaling = self._header.text(f"{self._header.architecture}.rope.scaling.type")
        self._require(scaling is None or scaling in _ROPE_SCALINGS, f"its rope scaling is {scaling!r}")

    def _check_heads(self) -> None:
        own, per_layer = self._header.own, self._header.per_layer
        heads = per_layer("attention.head_count") or []
        shared = per_layer("attention.head_count_kv") or heads
        for count, group in zip(heads, shared, strict=False):
            valid = count >= 0 and group >= 0 and (group == 0 or count % group == 0)
            self._require(valid, f"a layer has {count} heads on {group} key-value heads")
        embedding = own("embedding_length") or 0
        width = own("attention.key_length")
        if width is None and heads and heads[0]:
            self._require(embedding % heads[0] == 0, f"{heads[0]} heads do not divide {embedding}")
            width = embedding // heads[0]
        rotated = own("rope.dimension_count")
        if rotated is not None and width is not None:
            self._require(rotated % 2 == 0 and 0 <= rotated <= width, f"it rotates {rotated} of {width} dimensions")

    def _check_experts(self) -> None:
        own = self._header.own
        experts = own("expert_count") or 0
        used = max(self._header.per_layer("expert_used_count") or [0])
        self._require(0 <= experts <= _MAX_EXPERTS, f"it has {experts} experts")
        self._require(0 <= used <= experts and (used > 0 or not experts), f"it uses {used} of {experts} experts")
        groups, groups_used = own("expert_group_count") or 0, own("expert_group_used_count") or 0
        if groups > 1:
            valid = groups < experts and experts % groups == 0 and 0 < groups_used < groups
            self._require(valid, f"it uses {groups_used} of {groups} groups of {experts} experts")
        else:
            self._require(groups < max(experts, 1), f"it has {groups} groups of {experts} experts")

    def _check_floats(self) -> None:
        for key, value in self._header.metadata.items():
            if isinstance(value, float) and key.startswith(f"{self._header.architecture}."):
                valid = not math.isnan(value) and (value >= 0 or not key.endswith("epsilon"))
                self._require(valid, f"{key} is {value}")

    def check_tensors(self) -> None:
        for tensor in self._header.tensors:
            self._require(tensor.elements > 0, f"the tensor {tensor.name!r} is empty")
            if not tensor.name.endswith((".weight", ".bias")):
                continue
            kind = tensor.type.name
            # ggml asserts that norms and biases are F32, like the activations (ggml-cpu/binary-ops.cpp).
            valid = kind not in _NOT_FOR_WEIGHTS and (len(tensor.shape) > 1 or kind == "F32")
            self._require(valid, f"the tensor {tensor.name!r} has type {kind}")


def _check_vocabulary(reader: Reader, header: Header) -> None:
    model = header.text("tokenizer.ggml.model")
    tokens = header.arrays.get("tokenizer.ggml.tokens")
    if model in {None, "none", "no_vocab"} or tokens is None or tokens.kind != 8:
        return  # nothing to check, or the loader refuses it

    def require(valid: bool, what: str) -> None:
        if not valid:
            raise LoadError(f"{header.path} is damaged: {what}.", _HINT)

    # llama.cpp ends a token at a NUL and names an empty one; tokens that are equal to it must be equal here.
    texts = (word.partition(b"\0")[0] for word in reader.strings(tokens))
    words = [text or b"[EMPTY_%d]" % index for index, text in enumerate(texts)]
    require(bool(words), "its vocabulary is empty")
    require(len(set(words)) == len(words), f"some of its {len(words)} tokens are equal")
    try:
        b"\n".join(words).decode("utf-8")
    except UnicodeDecodeError:
        require(False, "some of its tokens are not UTF-8")  # llama_token_to_piece would throw across the C boundary
    if model == "llama":  # text without a token is spelled in bytes; llama_tokenize throws if one is missing
        known = set(words)
        missing = sum(b"<0x%02X>" % byte not in known and bytes([byte]) not in known for byte in range(256))
        require(not missing, f"its vocabulary lacks {missing} of the 256 bytes")
    for end, defaults in (("bos", _DEFAULT_BOS), ("eos", _DEFAULT_EOS)):
        if header.metadata.get(f"tokenizer.ggml.add_{end}_token") is True:
            candidates = (header.number(f"tokenizer.ggml.{end}_token_id"), defaults.get(model or ""))
            valid = any(token is not None and 0 <= token < len(words) for token in candidates)
            require(valid, f"it adds a {end} token and has none")
