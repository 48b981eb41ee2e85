"""A loop over llama-cpp-python's high-level class: `high_level_loop.py MODEL THREADS CONTEXT TOKENS`, prompts on stdin.

Reads a JSON list of prompts; prints one JSON line with the generated tokens and the seconds of the loop alone.
"""

import json
import sys
import time

from llama_cpp import Llama

path, threads, context_size, tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
prompts = json.load(sys.stdin)
llama = Llama(path, n_ctx=context_size, n_threads=threads, n_threads_batch=threads, flash_attn=True, verbose=False)
llama.create_completion("A first request", max_tokens=8, temperature=0)
started = time.perf_counter()
generated = 0
for prompt in prompts:
    answer = llama.create_completion(prompt, max_tokens=tokens, temperature=0)
    generated += answer["usage"]["completion_tokens"]
print(json.dumps({"tokens": generated, "seconds": time.perf_counter() - started}))
