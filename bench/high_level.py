"""The same completion through llama-cpp-python's high-level class: `high_level.py MODEL THREADS CONTEXT PROMPT`.

CONTEXT 0: the class's default. Flash attention is on, as in llama.cpp itself; without it the last bits of the logits
differ, and with them the greedy text.
"""

import sys

from llama_cpp import Llama

path, threads, context_size, prompt = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
size = {"n_ctx": context_size} if context_size else {}
llama = Llama(path, n_threads=threads, n_threads_batch=threads, flash_attn=True, verbose=False, **size)
for chunk in llama.create_completion(prompt, max_tokens=64, temperature=0, stream=True):
    sys.stdout.write(chunk["choices"][0]["text"])
    sys.stdout.flush()
