"""What a running server saves a command: time to first text, eight at once, and memory.

python -m bench.warm [--rounds N]"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

GPTCLI = str(Path(sys.executable).with_name("gptcli"))
ASK = [GPTCLI, "complete", "-q", "-m", "smollm2", "--temp", "0", "--ignore-eos", "-n"]
PROMPT = "Once upon a time"
AT_ONCE = 8


def first_text(*flags: str) -> float:
    """Seconds until the first byte of an answer."""
    started = time.perf_counter()
    with subprocess.Popen([*ASK, "1", *flags, PROMPT], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(1)
        seconds = time.perf_counter() - started
        process.communicate()
    return seconds


def at_once(*flags: str) -> tuple[float, int]:
    """Seconds for eight by `xargs -P 8`, and the most bytes that they and the server used together (PSS)."""
    prompts = "".join(f"{number} times upon\n" for number in range(AT_ONCE))
    command = ["xargs", "-P", str(AT_ONCE), "-I{}", *ASK, "32", "--no-stdin", *flags, "{}"]
    started = time.perf_counter()
    most = 0
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(prompts)
        process.stdin.close()
        while process.poll() is None:
            most = max(most, sum(map(memory, psutil.Process(process.pid).children())))
            time.sleep(0.02)
    return time.perf_counter() - started, most


def memory(process: psutil.Process) -> int:
    """Bytes of a process; what it shares with others counts in part."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    os.environ["GPTCLI_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="gptcli-")
    subprocess.run([GPTCLI, "serve", "-m", "smollm2", "--socket-only", "-q", "--background"], check=True)
    try:
        status = subprocess.run([GPTCLI, "serve", "--status", "--json"], capture_output=True, check=True)
        server = psutil.Process(json.loads(status.stdout)[0]["pid"])
        first_text(), first_text("--no-server")
        pairs = [(first_text(), first_text("--no-server")) for _ in range(rounds)]
        eights = [(at_once(), at_once("--no-server")) for _ in range(max(1, rounds // 2))]
        server_bytes = memory(server)
    finally:
        subprocess.run([GPTCLI, "serve", "--stop"], check=True)
    warm, cold = (statistics.median(one) for one in zip(*pairs, strict=True))
    warm8, cold8 = (statistics.median(one[0] for one in side) for side in zip(*eights, strict=True))
    commands, alone = (max(one[1] for one in side) for side in zip(*eights, strict=True))
    facts = {
        "first text warm s": warm,
        "first text cold s": cold,
        "ratio": statistics.median(one / other for one, other in pairs),
        "eight warm s": warm8,
        "eight cold s": cold8,
        "times as fast": cold8 / warm8,
        "server and eight commands MiB": (server_bytes + commands) / 2**20,
        "eight cold MiB": alone / 2**20,
    }
    for name, value in facts.items():
        print(f"{name:32} {value:10.3f}")
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
