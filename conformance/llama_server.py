#!/usr/bin/env python3
"""Takes the flags of llama-server, and becomes `gptcli serve` with those of the same meaning.

The model is gptcli's starter model: those of llama.cpp's tests are on the hub only."""

import os
import sys
import tempfile

GPTCLI = os.environ["GPTCLI"]
SAME = {"--port": "--port", "--host": "--host", "--alias": "--alias", "--n-predict": "--max-tokens"}
SAME |= {"--parallel": "--parallel", "--threads": "--threads"}
flags = []
arguments = iter(sys.argv[1:])
for name in arguments:
    if name in SAME:
        flags += [SAME[name], next(arguments)]
    elif name == "--api-key":
        with tempfile.NamedTemporaryFile("w", delete=False) as file:
            file.write(next(arguments) + "\n")
        flags += ["--api-key-file", file.name]
    elif name == "--cors-origins":
        flags += ["--cors-origin", next(arguments)]
os.environ["GPTCLI_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="gptcli-")
model = os.environ.get("GPTCLI_CONFORMANCE_MODEL", "smollm2")
os.execv(GPTCLI, [GPTCLI, "serve", "-m", model, *flags])
