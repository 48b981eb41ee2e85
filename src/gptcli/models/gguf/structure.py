"""Check that a GGUF file is safe to load: llama.cpp's loader ends the process where one of its assertions fails.

What the loader refuses with an error (unknown architecture, missing tensors, wrong shapes) is left to it. The rules are
the assertions of llama.cpp in llama-cpp-python 0.3.36: llama-model.cpp `load_hparams`, llama-vocab.cpp `load`, ggml.c.
"""

from __future__ import annotations

import math
from pathlib import Path

from gptcli.errors import LoadError
from gptcli.models.gguf.header import DAMAGE_HINT, Header, Reader, read_header
from gptcli.models.gguf.quantization import split_paths

_MAX_LAYERS = 512
_MAX_EXPERTS = 1024
_NOT_FOR_WEIGHTS = {"Q8_1", "Q8_K", "I8", "I16", "I32", "I64", "F64"}
_ROPE_SCALINGS = {"none", "linear", "yarn", "longrope"}
_DEFAULT_BOS = {"llama": 1, "bert": 101, "gpt2": 11, "plamo2": 1}
_DEFAULT_EOS = {"llama": 2, "gpt2": 11, "t5": 1, "plamo2": 2}


def check(path: Path) -> Header:
    """Check every part of a model and return the first part's header. Raises LoadError.

    It reads the vocabulary, 30 ms for 50,000 tokens; `integrity.check` remembers the result."""
    parts = split_paths(path)
    missing = sum(not part.exists() for part in parts)
    if missing:
        raise LoadError(f"{missing} of the {len(parts)} parts of {path} are missing.", "Download all of them.")
    with Reader(parts[0]) as reader:
        header = reader.header()
        for check_rules in (_check_kind, _check_layers, _check_heads, _check_experts, _check_floats, _check_tensors):
            check_rules(header)
        _check_vocabulary(reader, header)
    for part in parts[1:]:
        _check_tensors(read_header(part))
    return header


def _require(header: Header, valid: bool, what: str) -> None:
    if not valid:
        raise LoadError(f"{header.path} is damaged: {what}.", DAMAGE_HINT)


def _check_kind(header: Header) -> None:
    kind = header.text("general.type")
    if header.architecture == "clip" or kind in {"mmproj", "adapter", "imatrix"}:
        what = {"adapter": "an adapter", "imatrix": "an importance matrix"}.get(kind or "", "a projector for images")
        raise LoadError(f"{header.path} is {what}, not a model.", "Give the path of the model it belongs to.")
    if not header.architecture:
        raise LoadError(f"{header.path} does not name its architecture.", DAMAGE_HINT)


def _check_layers(header: Header) -> None:
    for key, most in (("block_count", _MAX_LAYERS), ("embedding_length", 1 << 24), ("context_length", 1 << 31)):
        value = header.own(key)
        _require(header, value is None or 0 < value <= most, f"its {key} is {value}")
    layers, ahead = header.own("block_count") or 0, header.own("nextn_predict_layers") or 0
    _require(header, ahead <= layers, f"it predicts ahead with {ahead} of {layers} layers")
    scaling = header.text(f"{header.architecture}.rope.scaling.type")
    _require(header, scaling is None or scaling in _ROPE_SCALINGS, f"its rope scaling is {scaling!r}")


def _check_heads(header: Header) -> None:
    own, per_layer = header.own, header.per_layer
    heads = per_layer("attention.head_count") or []
    shared = per_layer("attention.head_count_kv") or heads
    for count, group in zip(heads, shared, strict=False):
        valid = count >= 0 and group >= 0 and (group == 0 or count % group == 0)
        _require(header, valid, f"a layer has {count} heads on {group} key-value heads")
    embedding = own("embedding_length") or 0
    width = own("attention.key_length")
    if width is None and heads and heads[0]:
        _require(header, embedding % heads[0] == 0, f"{heads[0]} heads do not divide {embedding}")
        width = embedding // heads[0]
    rotated = own("rope.dimension_count")
    if rotated is not None and width is not None:
        _require(header, rotated % 2 == 0 and 0 <= rotated <= width, f"it rotates {rotated} of {width} dimensions")


def _check_experts(header: Header) -> None:
    experts, used = header.own("expert_count") or 0, max(header.per_layer("expert_used_count") or [0])
    _require(header, 0 <= experts <= _MAX_EXPERTS, f"it has {experts} experts")
    _require(header, 0 <= used <= experts and (used > 0 or not experts), f"it uses {used} of {experts} experts")
    groups, groups_used = header.own("expert_group_count") or 0, header.own("expert_group_used_count") or 0
    if groups > 1:
        valid = groups < experts and experts % groups == 0 and 0 < groups_used < groups
        _require(header, valid, f"it uses {groups_used} of {groups} groups of {experts} experts")
    else:
        _require(header, groups < max(experts, 1), f"it has {groups} groups of {experts} experts")


def _check_floats(header: Header) -> None:
    for key, value in header.metadata.items():
        if isinstance(value, float) and key.startswith(f"{header.architecture}."):
            valid = not math.isnan(value) and (value >= 0 or not key.endswith("epsilon"))
            _require(header, valid, f"{key} is {value}")


def _check_tensors(header: Header) -> None:
    for tensor in header.tensors:
        _require(header, tensor.elements > 0, f"the tensor {tensor.name!r} is empty")
        if not tensor.name.endswith((".weight", ".bias")):
            continue
        kind = tensor.type.name
        # ggml asserts that norms and biases are F32, like the activations (ggml-cpu/binary-ops.cpp).
        valid = kind not in _NOT_FOR_WEIGHTS and (len(tensor.shape) > 1 or kind == "F32")
        _require(header, valid, f"the tensor {tensor.name!r} has type {kind}")


def _check_vocabulary(reader: Reader, header: Header) -> None:
    model = header.text("tokenizer.ggml.model")
    tokens = header.arrays.get("tokenizer.ggml.tokens")
    if model in {None, "none", "no_vocab"} or tokens is None or tokens.kind != 8:
        return  # nothing to check, or the loader refuses it
    # llama.cpp ends a token at a NUL and names an empty one; tokens that are equal to it must be equal here.
    texts = (word.partition(b"\0")[0] for word in reader.strings(tokens))
    words = [text or b"[EMPTY_%d]" % index for index, text in enumerate(texts)]
    _require(header, bool(words), "its vocabulary is empty")
    _require(header, len(set(words)) == len(words), f"some of its {len(words)} tokens are equal")
    try:
        b"\n".join(words).decode("utf-8")
    except UnicodeDecodeError:  # llama_token_to_piece would throw across the C boundary
        _require(header, False, "some of its tokens are not UTF-8")
    if model == "llama":  # text without a token is spelled in bytes; llama_tokenize throws if one is missing
        known = set(words)
        missing = sum(b"<0x%02X>" % byte not in known and bytes([byte]) not in known for byte in range(256))
        _require(header, not missing, f"its vocabulary lacks {missing} of the 256 bytes")
    for end, defaults in (("bos", _DEFAULT_BOS), ("eos", _DEFAULT_EOS)):
        if header.metadata.get(f"tokenizer.ggml.add_{end}_token") is True:
            candidates = (header.number(f"tokenizer.ggml.{end}_token_id"), defaults.get(model or ""))
            valid = any(token is not None and 0 <= token < len(words) for token in candidates)
            _require(header, valid, f"it adds a {end} token and has none")
