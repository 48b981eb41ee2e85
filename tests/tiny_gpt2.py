"""Write a GGUF of about a megabyte: GPT-2's architecture, random weights, a small byte-level BPE vocabulary.

    python tests/tiny_gpt2.py tiny.gguf [SEED]

The same seed gives the same bytes. It computes nonsense, but all of what a real model computes.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np

EMBEDDING = 64
LAYERS = 3
HEADS = 4
CONTEXT = 512
MERGES = 256
END = "<|endoftext|>"

TEXT = """
A small model needs a small text to learn its merges from, and this is that text. The quick brown fox
jumps over the lazy dog, while the dog thinks that the fox is quicker than it needs to be. Once upon a
time there was a king who had three daughters; the first counted the stars, the second counted the days,
and the third did not count at all, but she knew where everything was. When the night came, they sat
together and talked about the weather, the harvest, and the other things that people talk about when there
is nothing to be done. "What is the answer?" asked the first. "There is no answer," said the second,
"because there was no question." The third said nothing, and went to make some tea. Numbers such as 0, 1,
2, 10, 42, 100, 1000 and 2024 should be known as well, and so should code:
def add(a, b):
    return a + b
for i in range(10): print(i, end=" ") # this prints the numbers from 0 to 9, and then it stops.
"""


def write_tiny_gpt2(
    path: Path | str,
    seed: int = 0,
    *,
    chat_template: str | None = None,
    architecture: str = "gpt2",
    context: int = CONTEXT,
    more: Callable[[gguf.GGUFWriter], None] | None = None,
    damage: Callable[[dict[str, np.ndarray]], None] | None = None,
) -> Path:
    """Write the model to `path` and return it; `more` adds further metadata, `damage` changes the weights.

    Another `architecture` or `context` is only claimed: the weights stay what they are."""
    tokens, merges = vocabulary()
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("Tiny GPT-2")
    writer.add_license("MIT")
    writer.add_context_length(context)
    writer.add_embedding_length(EMBEDDING)
    writer.add_feed_forward_length(4 * EMBEDDING)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * (len(tokens) - 1) + [gguf.TokenType.CONTROL])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(len(tokens) - 1)
    writer.add_eos_token_id(len(tokens) - 1)
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    if more is not None:
        more(writer)
    tensors = weights(len(tokens), seed)
    if damage is not None:
        damage(tensors)
    for name, array in tensors.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Path(path)


def weights(vocabulary_size: int, seed: int) -> dict[str, np.ndarray]:
    """Every tensor by its name, in float32, scaled so that the logits differ and nothing overflows."""
    random = np.random.default_rng(seed)

    def normal(*shape: int, scale: float = 0.3) -> np.ndarray:
        return (random.standard_normal(shape) * scale).astype(np.float32)

    def norm(name: str) -> dict[str, np.ndarray]:
        return {
            f"{name}.weight": 1 + normal(EMBEDDING, scale=0.1),
            f"{name}.bias": normal(EMBEDDING, scale=0.1),
        }

    def linear(name: str, inputs: int, outputs: int) -> dict[str, np.ndarray]:
        scale = inputs**-0.5
        return {
            f"{name}.weight": normal(outputs, inputs, scale=scale),
            f"{name}.bias": normal(outputs, scale=0.1),
        }

    tensors = {
        "token_embd.weight": normal(vocabulary_size, EMBEDDING),
        "position_embd.weight": normal(CONTEXT, EMBEDDING, scale=0.1),
        # Apart from the embeddings: tied ones would make the likeliest token the last one, again and again.
        "output.weight": normal(vocabulary_size, EMBEDDING),
    }
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        tensors |= norm(f"{block}attn_norm")
        tensors |= linear(f"{block}attn_qkv", EMBEDDING, 3 * EMBEDDING)
        tensors |= linear(f"{block}attn_output", EMBEDDING, EMBEDDING)
        tensors |= norm(f"{block}ffn_norm")
        tensors |= linear(f"{block}ffn_up", EMBEDDING, 4 * EMBEDDING)
        tensors |= linear(f"{block}ffn_down", 4 * EMBEDDING, EMBEDDING)
    return tensors | norm("output_norm")


def vocabulary() -> tuple[list[str], list[str]]:
    """All bytes in GPT-2's spelling, what the merges make of them, the end of text; and the merges."""
    spelling = byte_spelling()
    words = [[spelling[byte] for byte in word.encode()] for word in re.findall(r" ?\w+| ?[^\w\s]+|\s+", TEXT)]
    tokens, merges = list(spelling.values()), []
    for _ in range(MERGES):
        pairs = Counter(pair for word in words for pair in itertools.pairwise(word))
        left, right = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(f"{left} {right}")
        tokens.append(left + right)
        words = [_merged(word, left, right) for word in words]
    return [*dict.fromkeys(tokens), END], merges


def byte_spelling() -> dict[int, str]:
    """GPT-2's printable character for every byte (openai/gpt-2, encoder.py): itself, or from U+0100 on."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {**{byte: chr(byte) for byte in plain}, **{byte: chr(0x100 + i) for i, byte in enumerate(others)}}


def _merged(word: list[str], left: str, right: str) -> list[str]:
    result: list[str] = []
    for piece in word:
        if result and result[-1] == left and piece == right:
            result[-1] = left + right
        else:
            result.append(piece)
    return result


if __name__ == "__main__":
    write_tiny_gpt2(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0)
