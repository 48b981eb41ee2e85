"""Whether a GGUF file may be handed to llama.cpp at all: what its loader only asserts is checked here first.

A failed assertion ends the process; so a damaged or hostile file must be refused before. Everything that the loader
itself refuses with an error (unknown architecture, missing tensors, wrong shapes) is left to it. The asserted rules are
those of llama.cpp as in llama-cpp-python 0.3.36: llama-model.cpp `load_hparams`, llama-vocab.cpp `load`, ggml.c.
"""

from __future__ import annotations

import math
from pathlib import Path

from gptcli.errors import LoadError
from gptcli.models.gguf import split
from gptcli.models.gguf.header import Header, Reader, read_header
from gptcli.models.store import trust

_MOST_LAYERS = 512
_MOST_EXPERTS = 1024
_NOT_FOR_WEIGHTS = {"Q8_1", "Q8_K", "I8", "I16", "I32", "I64", "F64"}
_ROPE_SCALINGS = {"none", "linear", "yarn", "longrope"}
_ADVICE = "Fetch or copy it again."
_DEFAULT_BOS = {"llama": 1, "bert": 101, "gpt2": 11, "plamo2": 1}
_DEFAULT_EOS = {"llama": 2, "gpt2": 11, "t5": 1, "plamo2": 2}


def check(path: Path) -> Header:
    """The header of a model that llama.cpp can be trusted with; of a split model, that of its first part.

    LoadError with what is wrong. It reads the vocabulary, 30 ms for 50,000 tokens, so what is right is remembered.
    """
    parts = [path.with_name(name) for name in split.parts(path.name)]
    missing = sum(not part.exists() for part in parts)
    if missing:
        raise LoadError(f"{missing} of the {len(parts)} parts of {path} are missing.", "Fetch all of them.")
    with Reader(parts[0]) as reader:
        header = reader.header(tensors=True, upto_tokenizer=False)
        _kind(header)
        _Rules(header).check()
        _vocabulary(reader, header)
    for part in parts[1:]:
        _Rules(read_header(part)).tensors()
    for part in parts:
        trust.remember(part, trust.CHECKED)
    return header


def _kind(header: Header) -> None:
    kind = header.text("general.type")
    if header.architecture == "clip" or kind in {"mmproj", "adapter", "imatrix"}:
        what = {"adapter": "an adapter", "imatrix": "an importance matrix"}.get(kind or "", "a projector for images")
        raise LoadError(f"{header.path} is {what}, not a model.", "Give the model that belongs to it.")
    if not header.architecture:
        raise LoadError(f"{header.path} does not say which architecture it is for.", _ADVICE)


class _Rules:
    """What must hold of a header's numbers and tensors."""

    def __init__(self, header: Header) -> None:
        self._header = header

    def check(self) -> None:
        self._layers()
        self._heads()
        self._experts()
        self._floats()
        self.tensors()

    def _need(self, right: bool, what: str) -> None:
        if not right:
            raise LoadError(f"{self._header.path} is damaged: {what}.", _ADVICE)

    def _layers(self) -> None:
        own = self._header.own
        for key, most in (("block_count", _MOST_LAYERS), ("embedding_length", 1 << 24), ("context_length", 1 << 31)):
            value = own(key)
            self._need(value is None or 0 < value <= most, f"its {key} is {value}")
        layers = own("block_count") or 0
        ahead = own("nextn_predict_layers") or 0
        self._need(ahead <= layers, f"it predicts ahead with {ahead} of {layers} layers")
        scaling = self._header.text(f"{self._header.architecture}.rope.scaling.type")
        self._need(scaling is None or scaling in _ROPE_SCALINGS, f"its rope scaling is {scaling!r}")

    def _heads(self) -> None:
        own, per_layer = self._header.own, self._header.per_layer
        heads = per_layer("attention.head_count") or []
        shared = per_layer("attention.head_count_kv") or heads
        for count, group in zip(heads, shared, strict=False):
            right = count >= 0 and group >= 0 and (group == 0 or count % group == 0)
            self._need(right, f"a layer has {count} heads on {group} key-value heads")
        embedding = own("embedding_length") or 0
        width = own("attention.key_length")
        if width is None and heads and heads[0]:
            self._need(embedding % heads[0] == 0, f"{heads[0]} heads do not divide {embedding}")
            width = embedding // heads[0]
        rotated = own("rope.dimension_count")
        if rotated is not None and width is not None:
            self._need(rotated % 2 == 0 and 0 <= rotated <= width, f"it rotates {rotated} of {width} dimensions")

    def _experts(self) -> None:
        own = self._header.own
        experts = own("expert_count") or 0
        used = max(self._header.per_layer("expert_used_count") or [0])
        self._need(0 <= experts <= _MOST_EXPERTS, f"it has {experts} experts")
        self._need(0 <= used <= experts and (used > 0 or not experts), f"it uses {used} of {experts} experts")
        groups, groups_used = own("expert_group_count") or 0, own("expert_group_used_count") or 0
        if groups > 1:
            right = groups < experts and experts % groups == 0 and 0 < groups_used < groups
            self._need(right, f"it uses {groups_used} of {groups} groups of {experts} experts")
        else:
            self._need(groups < max(experts, 1), f"it has {groups} groups of {experts} experts")

    def _floats(self) -> None:
        for key, value in self._header.metadata.items():
            if isinstance(value, float) and key.startswith(f"{self._header.architecture}."):
                right = not math.isnan(value) and (value >= 0 or not key.endswith("epsilon"))
                self._need(right, f"{key} is {value}")

    def tensors(self) -> None:
        for tensor in self._header.tensors:
            self._need(tensor.elements > 0, f"the tensor {tensor.name!r} is empty")
            if not tensor.name.endswith((".weight", ".bias")):
                continue
            kind = tensor.type.name
            # Norms and biases meet activations in F32, and ggml asserts that both are (ggml-cpu/binary-ops.cpp).
            right = kind not in _NOT_FOR_WEIGHTS and (len(tensor.shape) > 1 or kind == "F32")
            self._need(right, f"the tensor {tensor.name!r} is of type {kind}")


def _vocabulary(reader: Reader, header: Header) -> None:
    model = header.text("tokenizer.ggml.model")
    tokens = header.arrays.get("tokenizer.ggml.tokens")
    if model in {None, "none", "no_vocab"} or tokens is None or tokens.kind != 8:
        return  # the loader's to refuse, or nothing to check

    def need(right: bool, what: str) -> None:
        if not right:
            raise LoadError(f"{header.path} is damaged: {what}.", _ADVICE)

    # llama.cpp ends a token at a NUL and gives an empty one a name; what is the same to it must be the same here.
    texts = (word.partition(b"\0")[0] for word in reader.strings(tokens))
    words = [text or b"[EMPTY_%d]" % index for index, text in enumerate(texts)]
    need(bool(words), "its vocabulary is empty")
    need(len(set(words)) == len(words), f"of its {len(words)} tokens some are the same")
    try:
        b"\n".join(words).decode("utf-8")
    except UnicodeDecodeError:
        need(False, "some of its tokens are no UTF-8")  # llama_token_to_piece would throw across the C boundary
    if model == "llama":  # what is no token is spelled in bytes, and llama_tokenize throws where one is missing
        known = set(words)
        missing = sum(b"<0x%02X>" % byte not in known and bytes([byte]) not in known for byte in range(256))
        need(not missing, f"{missing} of the 256 bytes are not in its vocabulary")
    for end, defaults in (("bos", _DEFAULT_BOS), ("eos", _DEFAULT_EOS)):
        if header.metadata.get(f"tokenizer.ggml.add_{end}_token") is True:
            candidates = (header.number(f"tokenizer.ggml.{end}_token_id"), defaults.get(model or ""))
            right = any(token is not None and 0 <= token < len(words) for token in candidates)
            need(right, f"it adds a {end} token and has none")
