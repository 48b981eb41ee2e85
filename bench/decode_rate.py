"""Tokens per second of gptcli's engine while decoding, as a JSON list with one rate per round.

`decode_rate.py MODEL THREADS CONTEXT PROMPT SAMPLES TOKENS ROUNDS`: all samples together, after a prompt of PROMPT
tokens. The prefill and the first token are not counted; sampling and detokenizing are.
"""

import json
import sys
from pathlib import Path

from gptcli.engine.engine import LocalEngine
from gptcli.interrupt import Interrupt
from gptcli.llama.backend import LlamaBackend
from gptcli.llama.devices import Offload
from gptcli.llama.model import Model
from gptcli.params import Sampling
from gptcli.types import Finished, Request, TextPrompt, TokenPrompt

TEXT = b"Once upon a time there was a little village at the edge of a deep forest, where an old clockmaker lived. "


def measure(engine: LocalEngine, request: Request) -> float:
    """Tokens per second of one request, all samples together, from their first token to the last."""
    ends = [event for event in engine.stream([request]) if isinstance(event, Finished)]
    return sum(end.completion_tokens - 1 for end in ends) / max(end.decode_seconds for end in ends)


def main() -> None:
    path = Path(sys.argv[1])
    threads, context, prompt_tokens, samples, tokens, rounds = map(int, sys.argv[2:])
    interrupt = Interrupt()
    with LlamaBackend(Model.load(path, Offload((), 0)), (threads, threads), interrupt) as backend:
        engine = LocalEngine(backend, context=context, interrupt=interrupt)
        prompt = TokenPrompt(engine.encode(TextPrompt(TEXT * 2)).tokens[:prompt_tokens])
        sampling = Sampling(seed=1) if samples > 1 else Sampling(temperature=0, seed=1)
        request = Request("rate", prompt, sampling, max_tokens=tokens, ignore_eos=True, n=samples)
        measure(engine, request)
        print(json.dumps([measure(engine, request) for _ in range(rounds)]))


main()
