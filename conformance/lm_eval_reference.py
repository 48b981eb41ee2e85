"""What lm-eval must find: the likelihood of each choice, by llama.cpp's low-level API and nothing of gptcli.

Usage: lm_eval_reference.py MODEL.gguf TASK.jsonl; prints one line of JSON for each item: the choices' log-likelihoods
and whether the likeliest one is right."""

import json
import sys
from pathlib import Path

import llama_cpp as C
import numpy


def tokens(vocab: object, text: str) -> list[int]:
    buffer = (C.llama_token * (len(text) + 8))()
    data = text.encode()
    return list(buffer[: C.llama_tokenize(vocab, data, len(data), buffer, len(buffer), False, False)])


def likelihood(context: object, size: int, before: list[int], after: list[int]) -> float:
    """The sum of the log-probabilities of the tokens `after`."""
    every = before + after
    batch = C.llama_batch_init(len(every), 0, 1)
    for place, token in enumerate(every):
        batch.token[place], batch.pos[place], batch.logits[place] = token, place, True
        batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
    batch.n_tokens = len(every)
    C.llama_memory_clear(C.llama_get_memory(context), True)
    assert C.llama_decode(context, batch) == 0
    total = 0.0
    for place in range(len(before) - 1, len(every) - 1):
        logits = numpy.ctypeslib.as_array(C.llama_get_logits_ith(context, place), (size,)).astype(numpy.float64)
        total += logits[every[place + 1]] - logits.max() - numpy.log(numpy.exp(logits - logits.max()).sum())
    return float(total)


silence = C.llama_log_callback(lambda level, text, data: None)
C.llama_log_set(silence, None)
model = C.llama_model_load_from_file(sys.argv[1].encode(), C.llama_model_default_params())
context, vocab = C.llama_init_from_model(model, C.llama_context_default_params()), C.llama_model_get_vocab(model)
for item in map(json.loads, Path(sys.argv[2]).read_text().splitlines()):
    question = tokens(vocab, item["question"])
    pairs = [(question, tokens(vocab, f"{item['question']} {choice}")[len(question) :]) for choice in item["choices"]]
    found = [likelihood(context, C.llama_vocab_n_tokens(vocab), before, after) for before, after in pairs]
    print(json.dumps({"likelihoods": found, "right": int(numpy.argmax(found)) == item["answer"]}))
