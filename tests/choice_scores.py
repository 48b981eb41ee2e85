"""The choices of a task in lm-eval's format, scored with llama.cpp's low-level API and nothing of gptcli.

python tests/choice_scores.py MODEL ITEMS.jsonl: a line for each item, the index of the likeliest choice and of the
right one. An item has `text`, `choices` and `answer`, the index of the right choice. Text and choice are joined by a
space."""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path

import llama_cpp as llama
import numpy as np


def main(model_path: str, items_path: str) -> None:
    silent = llama.llama_log_callback(lambda *_: None)
    llama.llama_log_set(silent, ctypes.c_void_p())
    model = llama.llama_model_load_from_file(model_path.encode(), llama.llama_model_default_params())
    options = llama.llama_context_default_params()
    options.n_ctx = options.n_batch = options.n_ubatch = 512
    options.n_threads = options.n_threads_batch = 1
    context = llama.llama_init_from_model(model, options)
    vocabulary = llama.llama_model_get_vocab(model)
    size = llama.llama_vocab_n_tokens(vocabulary)

    def tokenize(text: str) -> list[int]:
        data = text.encode()
        room = (llama.llama_token * (len(data) + 2))()
        return room[: llama.llama_tokenize(vocabulary, data, len(data), room, len(room), True, True)]

    def logprob(text: str, continuation: str) -> float:
        whole, start = tokenize(text + continuation), len(tokenize(text))
        batch = llama.llama_batch_init(len(whole), 0, 1)
        batch.n_tokens = len(whole)
        for place, token in enumerate(whole):
            batch.token[place], batch.pos[place], batch.n_seq_id[place] = token, place, 1
            batch.seq_id[place][0], batch.logits[place] = 0, 1
        llama.llama_memory_clear(llama.llama_get_memory(context), True)
        assert llama.llama_decode(context, batch) == 0
        total = 0.0
        for place in range(start, len(whole)):
            logits = np.ctypeslib.as_array(llama.llama_get_logits_ith(context, place - 1), (size,)).astype(np.float64)
            total += logits[whole[place]] - logits.max() - np.log(np.exp(logits - logits.max()).sum())
        llama.llama_batch_free(batch)
        return total

    for line in Path(items_path).read_text(encoding="utf-8").splitlines():
        item = json.loads(line)
        scores = [logprob(item["text"], f" {choice}") for choice in item["choices"]]
        result = {"prediction": int(np.argmax(scores)), "target": item["answer"], "logprobs": scores}
        sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
