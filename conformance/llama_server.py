#!/usr/bin/env python3
"""Takes the flags of llama-server, and becomes `gptcli serve` with those of the same meaning.

The model is gptcli's starter model: those of llama.cpp's tests are on the hub only. llama-server answers to any name of
its only model, so the names that its tests use are aliases here. `--n-predict` has no flag of the same meaning:
llama-server cuts longer answers, gptcli refuses to promise them."""

import os
import sys
import tempfile

GPTCLI = os.environ["GPTCLI"]
SAME = {"--port": "--port", "--host": "--host", "--alias": "--alias", "--parallel": "--parallel"}
SAME |= {"--threads": "--threads", "--cors-origins": "--cors-origin"}
NAMES = ("gpt-3.5-turbo", "gpt-3.5-turbo-instruct", "davinci-002", "codellama70b")
flags = [flag for name in NAMES for flag in ("--alias", name)]
given = {}
arguments = iter(sys.argv[1:])
for name in arguments:
    if name in SAME:
        given[name] = next(arguments)
        flags += [SAME[name], given[name]]
    elif name == "--ctx-size":  # llama-server's is that of all its slots together
        given[name] = next(arguments)
    elif name == "--api-key":
        with tempfile.NamedTemporaryFile("w", delete=False) as file:
            file.write(next(arguments) + "\n")
        flags += ["--api-key-file", file.name]
if "--ctx-size" in given:
    flags += ["--ctx-size", str(int(given["--ctx-size"]) // int(given.get("--parallel", 1)))]
os.environ["GPTCLI_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="gptcli-")
model = os.environ.get("GPTCLI_CONFORMANCE_MODEL", "smollm2")
os.execv(GPTCLI, [GPTCLI, "serve", "-m", model, *flags])
