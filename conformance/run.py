"""Runs other people's tests against `gptcli serve`, each in an environment of its own, and prints a table.

    python conformance/run.py [SUITE...]        all suites, or some; `--list` names them

What is installed, unpacked and logged is in `.conformance/`. docs/conformance.md explains the results."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import venv
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORK = HERE.parent / ".conformance"
GPTCLI = Path(sys.executable).with_name("gptcli")
os.environ.setdefault("GPTCLI", str(GPTCLI))
sys.path.insert(0, str(HERE))

from llama_cpp_tests import fit  # noqa: E402 - it is in this folder
from serving import MODEL, serving  # noqa: E402 - it reads the variable

Row = tuple[str, int, int, int]
"""What was tested, and how many tests passed, failed and do not apply."""
NOT_APPLICABLE = json.loads((HERE / "not_applicable.json").read_text())
"""For each suite: a pattern of test names, and why they are no tests of this server."""


def environment(suite: str, *requirements: str) -> Path:
    """The folder of the programs of a suite's environment, made the first time."""
    folder = WORK / suite
    marker = folder / "installed"
    wanted = "\n".join(requirements)
    if not marker.exists() or marker.read_text() != wanted:
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([folder / "bin/pip", "install", "-q", *requirements], check=True)
        marker.write_text(wanted)
    return folder / "bin"


def sources(programs: Path, requirement: str) -> Path:
    """The unpacked source distribution of a package."""
    folder = WORK / "sources" / requirement
    if not folder.exists():
        folder.mkdir(parents=True)
        pip = [programs / "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*pip, requirement, "-d", folder], check=True)
        with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())


def pytest(suite: str, programs: Path, folder: Path, *arguments: str, **variables: str) -> list[Row]:
    """Run tests, and count them by their file."""
    report = WORK / f"{suite}.xml"
    command = [programs / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *arguments]
    with open(WORK / f"{suite}.log", "wb") as log:
        subprocess.run(command, cwd=folder, env={**os.environ, **variables}, stdout=log, stderr=log)
    counts: dict[str, Counter[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        file = re.sub(r"\.Test\w+$", "", case.get("classname") or "")
        counts.setdefault(file, Counter())[_result(suite, name, case)] += 1
    return [(file, count["passed"], count["failed"], count["other"]) for file, count in sorted(counts.items())]


def _result(suite: str, name: str, case: ElementTree.Element) -> str:
    if case.find("skipped") is not None or any(re.search(one, name) for one in NOT_APPLICABLE.get(suite, {})):
        return "other"  # even if it passes, as one does that expects an error from a path that is not there
    if case.find("failure") is None and case.find("error") is None:
        return "passed"
    print(f"FAILED {suite} {name}")
    return "failed"


def openai_client() -> list[Row]:
    programs = environment("openai-client", "openai==3.57.0", "pytest>=9,<10")
    return pytest("openai-client", programs, HERE, "-c", os.devnull, "--rootdir", str(HERE), "test_openai_client.py")


def openai_python() -> list[Row]:
    """The API tests of OpenAI's client: what a server answers must have the types of its description."""
    extra = ("pytest>=9,<10", "pytest-asyncio", "respx", "dirty-equals", "time-machine", "nest_asyncio", "rich")
    programs = environment("openai-python", "openai==3.57.0", *extra, "inline-snapshot", "aiohttp", "httpx-aiohttp")
    folder = sources(programs, "openai==3.57.0")
    files = ("test_completions.py", "chat/test_completions.py", "test_models.py")
    names = ("gpt-3.5-turbo-instruct", "gpt-6-astra")
    flags = [flag for name in names for flag in ("--alias", name)]
    with serving(*flags, "--max-tokens", "24") as address:
        tests = [f"tests/api_resources/{name}" for name in files]
        return pytest("openai-python", programs, folder, "-o", "addopts=", *tests, TEST_API_BASE_URL=address)


def schemathesis() -> list[Row]:
    programs = environment("schemathesis", "schemathesis>=4.32,<5")
    report = WORK / "schemathesis.xml"
    with serving("--max-tokens", "8") as address:
        command = [
            programs / "schemathesis",
            "run",
            HERE / "openapi.yaml",
            "--url",
            address,
            "--seed",
            "1",
            "--no-color",
        ]
        checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
        command += ["--checks", checks, "--max-examples", "40", "--phases", "examples,coverage,fuzzing"]
        command += ["--generation-database", "none", "--report", "junit", "--report-junit-path", report]
        with open(WORK / "schemathesis.log", "wb") as log:
            code = subprocess.run(command, cwd=WORK, stdout=log, stderr=log).returncode
    log_text = (WORK / "schemathesis.log").read_text()
    generated = re.search(r"(\d+) generated", log_text)
    failed = sum(case.find("failure") is not None for case in ElementTree.parse(report).iter("testcase"))
    requests = f"requests to {len(list(ElementTree.parse(report).iter('testcase')))} operations"
    count = int(generated[1]) if generated else 0
    return [(requests, count - failed, failed + (code != 0 and not failed), 0)]


def llm() -> list[Row]:
    """Simon Willison's llm, with our endpoint among its OpenAI models."""
    programs = environment("llm", "llm==0.36")
    home = WORK / "llm-home"
    home.mkdir(exist_ok=True)
    count: Counter[bool] = Counter()
    with serving() as address:
        endpoint = f"- model_id: ours\n  model_name: {MODEL}\n  api_base: {address}\n"
        (home / "extra-openai-models.yaml").write_text(endpoint)
        variables = {**os.environ, "LLM_USER_PATH": str(home), "OPENAI_API_KEY": "none"}
        for arguments in (["Say hello."], ["--no-stream", "Say hello."], ["-s", "Be brief.", "Hi"], ["-c", "And now?"]):
            command = [programs / "llm", *(["-m", "ours"] if "-c" not in arguments else []), *arguments]
            done = subprocess.run(command, env=variables, capture_output=True, text=True)
            count[done.returncode == 0 and bool(done.stdout.strip())] += 1
    return [("answers, streamed and whole, continued", count[True], count[False], 0)]


def lm_eval() -> list[Row]:
    """Per item, lm-eval must find what a script over llama.cpp's low-level API finds."""
    programs = environment("lm-eval", "lm-eval[api]==0.4.13")
    output = WORK / "lm-eval-results"
    subprocess.run(["rm", "-rf", output], check=True)
    tasks = ("capitals", "endings")
    with serving() as address:
        model = {"model": MODEL, "base_url": f"{address}/completions", "tokenizer_backend": "remote", "max_retries": 1}
        names = ",".join(f"gptcli_{task}" for task in tasks)
        command = [programs / "lm_eval", "run", "--model", "local-completions", "--model_args", json.dumps(model)]
        command += ["--include_path", HERE / "lm_eval_tasks", "--tasks", names, "--limit", "12", "--log_samples"]
        with open(WORK / "lm-eval.log", "wb") as log:
            offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(WORK / "datasets")}
            subprocess.run([*command, "--output_path", output], cwd=HERE, env=offline, stdout=log, stderr=log)
    return [(f"{task}, item by item", *_compare(task, output), 0) for task in tasks]


def _compare(task: str, output: Path) -> tuple[int, int]:
    """How many items are equal, and how many are not."""
    show = subprocess.run([GPTCLI, "models", "show", MODEL, "--json"], capture_output=True, check=True)
    path = json.loads(show.stdout)["path"]
    command = [sys.executable, HERE / "lm_eval_reference.py", path, HERE / f"lm_eval_tasks/{task}.jsonl"]
    reference = [
        json.loads(line) for line in subprocess.run(command, capture_output=True, check=True).stdout.splitlines()
    ]
    (samples,) = output.glob(f"*/samples_gptcli_{task}_*.jsonl")
    found = sorted(map(json.loads, samples.read_text().splitlines()), key=lambda item: item["doc_id"])
    equal = 0
    for ours, theirs in zip(reference, found, strict=True):
        likelihoods = [float(one[0]) for one in theirs["filtered_resps"]]
        near = all(abs(a - b) < 0.01 for a, b in zip(ours["likelihoods"], likelihoods, strict=True))
        equal += near and ours["right"] == (theirs["acc"] == 1.0)
    return equal, len(reference) - equal


def llama_cpp() -> list[Row]:
    """The tests of llama-server's own API, as far as ours is the same."""
    requirements = ("pytest~=8.3.3", "requests~=2.32.3", "openai~=2.14.0", "filelock", "wget", "prometheus-client")
    programs = environment("llama.cpp", *requirements, "numpy", "aiohttp")
    folder = sources(programs, "llama-cpp-python==0.3.36") / "vendor/llama.cpp/tools/server/tests"
    wrapper = {"LLAMA_SERVER_BIN_PATH": str(HERE / "llama_server.py"), "PORT": "18971"}
    return pytest("llama.cpp", programs, folder, *fit(folder), **wrapper)


SUITES: dict[str, Callable[[], list[Row]]] = {
    "openai-client": openai_client,
    "openai-python": openai_python,
    "schemathesis": schemathesis,
    "llm": llm,
    "lm-eval": lm_eval,
    "llama.cpp": llama_cpp,
}


def main(names: list[str]) -> int:
    if names == ["--list"]:
        print("\n".join(SUITES))
        return 0
    WORK.mkdir(exist_ok=True)
    failures = 0
    lines = ["| suite | tests | passed | failed | not applicable |", "| --- | --- | --- | --- | --- |"]
    for name in names or SUITES:
        for what, passed, failed, other in SUITES[name]():
            failures += failed + (passed == 0 and other == 0)
            lines.append(f"| {name} | {what} | {passed} | {failed} | {other} |")
    print("\n".join(lines))
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
