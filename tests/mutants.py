"""Damage a GGUF's header in many ways and hand each to gptcli and llama.cpp, each in a process of its own.

    python tests/mutants.py MODEL FIRST COUNT

It prints one line a mutant: its number, `refused` or `ran`, or what became of the process. POSIX only (it forks, so
that llama.cpp is started once and a mutant costs ten milliseconds).
"""

from __future__ import annotations

import ctypes
import os
import random
import struct
import sys
import tempfile
from pathlib import Path

REFUSED, RAN = 10, 11
_WORDS = (0, 1, 2, 3, 5, 7, 8, 9, 0x7FC00000, 0x80000000, 0xFFFFFFFF)
_LONGS = (0, 1, 1 << 31, 1 << 63, (1 << 64) - 1)


def mutant(whole: bytes, header: int, vocabulary: int, number: int) -> bytes:
    """The file with one to four wounds in its header, most of them outside the vocabulary; now and then cut off."""
    dice = random.Random(number)
    data = bytearray(whole)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        first, last = dice.choice(((0, vocabulary), (0, vocabulary), (header - 3500, header), (0, header)))
        at = dice.randrange(max(0, first), last)
        kind = dice.randrange(5)
        if kind == 0:
            data[at] ^= 1 << dice.randrange(8)
        elif kind == 1:
            data[at] = dice.choice((0, 1, 2, 4, 8, 0x7F, 0x80, 0xFF, dice.randrange(256)))
        elif kind == 2:
            data[at : at + 4] = struct.pack("<I", dice.choice((*_WORDS, dice.randrange(1 << 32))))
        elif kind == 3:
            data[at : at + 8] = struct.pack("<Q", dice.choice((*_LONGS, dice.randrange(1 << 64))))
        else:
            del data[at : at + dice.choice((1, 4, 8))]
    if dice.random() < 0.05:
        del data[dice.randrange(len(data)) :]
    return bytes(data)


def use(path: Path) -> int:
    """Check, load, tokenize, compute, and spell every token."""
    from gptcli.errors import LoadError
    from gptcli.llama.library import C
    from gptcli.models.gguf import structure

    try:
        structure.check(path)
    except LoadError:
        return REFUSED
    model = C.llama_model_load_from_file(os.fsencode(path), C.llama_model_default_params())
    if not model:
        return REFUSED
    parameters = C.llama_context_default_params()
    parameters.n_ctx, parameters.n_threads, parameters.n_threads_batch = 64, 1, 1
    context = C.llama_init_from_model(model, parameters)
    if not context:
        return REFUSED
    vocabulary = C.llama_model_get_vocab(model)
    text = "Hello fox, Zürich 日本\n".encode()
    tokens = (C.llama_token * 64)()
    count = C.llama_tokenize(vocabulary, text, len(text), tokens, 64, True, True)
    piece = ctypes.create_string_buffer(256)
    for token in range(C.llama_vocab_n_tokens(vocabulary)):
        C.llama_token_to_piece(vocabulary, token, piece, 256, 0, True)
    if count > 0:
        C.llama_decode(context, C.llama_batch_get_one(tokens, min(count, 32)))
    return RAN


def run(path: Path) -> str:
    """What becomes of a process that uses `path`."""
    child = os.fork()
    if child == 0:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        os._exit(use(path))
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return f"killed by signal {os.WTERMSIG(status)}"
    code = os.WEXITSTATUS(status)
    return {REFUSED: "refused", RAN: "ran"}.get(code, f"exit code {code}")


def main(model: str, first: str, count: str) -> None:
    from gptcli.llama import library  # noqa: F401  # started once, before the forks
    from gptcli.models.gguf import structure
    from gptcli.models.gguf.header import Reader

    whole = Path(model).read_bytes()
    structure.check(Path(model))
    with Reader(Path(model)) as reader:
        header = reader.header()
        vocabulary = header.arrays["tokenizer.ggml.tokens"].start
        end = len(whole) - header.tensors[-1].offset - header.tensors[-1].size
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutant.gguf"
        for number in range(int(first), int(first) + int(count)):
            path.write_bytes(mutant(whole, end, vocabulary, number))
            sys.stdout.write(f"{number} {run(path)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
