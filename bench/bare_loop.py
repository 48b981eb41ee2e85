"""The least code that completes a prompt with llama.cpp from Python: `bare_loop.py MODEL THREADS CONTEXT PROMPT`.

Greedy tokens only: no error handling, no stop strings, no care for UTF-8 split between tokens. CONTEXT 0: llama.cpp's
default.
"""

import os
import sys

from llama_cpp import llama_cpp as C

TOKENS = 64

path, threads, context_size, prompt = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), os.fsencode(sys.argv[4])
silence = C.llama_log_callback(lambda level, text, data: None)
C.llama_log_set(silence, None)
C.llama_backend_init()
model = C.llama_model_load_from_file(path.encode(), C.llama_model_default_params())
parameters = C.llama_context_default_params()
parameters.n_threads = parameters.n_threads_batch = threads
if context_size:
    parameters.n_ctx = context_size
context = C.llama_init_from_model(model, parameters)
vocabulary = C.llama_model_get_vocab(model)
sampler = C.llama_sampler_init_greedy()

tokens = (C.llama_token * (len(prompt) + 8))()
count = C.llama_tokenize(vocabulary, prompt, len(prompt), tokens, len(tokens), True, True)
piece = bytes(256)
for _ in range(TOKENS):
    C.llama_decode(context, C.llama_batch_get_one(tokens, count))
    tokens[0], count = C.llama_sampler_sample(sampler, context, -1), 1
    if C.llama_vocab_is_eog(vocabulary, tokens[0]):
        break
    size = C.llama_token_to_piece(vocabulary, tokens[0], piece, len(piece), 0, False)
    sys.stdout.buffer.write(piece[:size])
    sys.stdout.buffer.flush()
