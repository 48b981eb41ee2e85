"""Every command in the README and the documentation is run, and every page can be read."""

from __future__ import annotations

import html
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from documents import PAGES, ROOT, Block, blocks, fill, prose
from shell import Shell

REASONS = ("needs a GPU", "needs the network", "interactive", "installs", "serves until stopped", "takes minutes")
"""Why a block may be left out."""
FEW_TOKENS = "24"
"""Enough for the shortest answer of every schema on the pages."""
MOST_LINES = 200
MOST_WORDS = 30
VAGUE = re.compile(
    r"\b(simply|just|easily|obviously|of course|basically|seamless\w*|powerful|leverag\w+|utili[sz]\w+|blazing\w*|"
    r"robust|cutting-edge|state-of-the-art|effortless\w*|delve|unlock|supercharge)\b|!(?!\[)",
    re.IGNORECASE,
)

named = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@pytest.mark.timeout(900)  # the guide starts gptcli fifty times; that takes minutes on a machine that does other work
@named
def test_every_command_works(page: Path, starter_shell: Shell, tmp_path: Path) -> None:
    found = [block for block in blocks(page) if not block.why]
    for program in ("bash", "git", "jq"):
        if found and shutil.which(program) is None:
            pytest.skip(f"{program} is not installed here, and the examples use it")
    folder, programs = tmp_path / "work", tmp_path / "programs"
    folder.mkdir()
    programs.mkdir()
    fill(folder)
    gptcli = programs / "gptcli"
    gptcli.write_text(f'#!/bin/sh\nexec {sys.executable} -m gptcli "$@"\n')
    gptcli.chmod(0o755)
    own = {"PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin", "GPTCLI_MAX_TOKENS": FEW_TOKENS, "GPTCLI_OFFLINE": "1"}
    environment = {**starter_shell.environment, **own, "LC_ALL": "C.UTF-8", "EDITOR": "true"}
    for block in found:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.code],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=150,
        )
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        assert done.returncode == 0, f"{page.name}:{block.line} ends with {done.returncode}\n{block.code}\n{said}"
        assert "Traceback" not in done.stderr.decode("utf-8", "replace")


@named
def test_every_flag_exists_also_in_commands_that_are_not_run(page: Path) -> None:
    tree = runpy.run_path(str(ROOT / "scripts" / "command_tree.py"))["root"]()
    known = {command.path: command for command in tree.all()}
    for block in blocks(page):
        for words in calls(block):
            path = "gptcli"
            while len(words) > 1 and f"{path} {words[1]}" in known:
                path += f" {words.pop(1)}"
            flags = {name for flag in known[path].flags for name in flag.names}
            used = {word.partition("=")[0] for word in words if word.startswith("--") and word != "--"}
            assert used <= flags, f"{page.name}:{block.line}: {path} has no {', '.join(sorted(used - flags))}"


def calls(block: Block) -> list[list[str]]:
    """The words of each call of gptcli in a block."""
    found: list[list[str]] = []
    for line in block.code.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;()<>")
        lexer.whitespace_split = True
        words = list(lexer)
        starts = [index for index, word in enumerate(words) if word == "gptcli"]
        for start in starts:
            rest = words[start:]
            end = next((index for index, word in enumerate(rest) if word and set(word) <= set("|&;()<>")), len(rest))
            found.append(rest[:end])
    return found


@named
def test_a_block_is_left_out_only_for_a_known_reason(page: Path) -> None:
    assert {block.why for block in blocks(page)} <= {"", *REASONS}
    text = page.read_text("utf-8")
    assert text.count("<!-- not run:") == sum(bool(block.why) for block in blocks(page))


@named
def test_a_page_is_short_and_says_things_plainly(page: Path) -> None:
    text = page.read_text("utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    assert not (found := VAGUE.search(prose(page))), f"{page.name}: {found[0]!r}"
    for paragraph in re.split(r"\n\s*\n|\n(?=- )", prose(page)):
        for sentence in re.split(r"(?<=[.?:;])\s+", " ".join(paragraph.split())):
            words = re.sub(r"`[^`]*`|\[([^\]]*)\]\([^)]*\)", r"x\1", sentence).split()
            assert len(words) <= MOST_WORDS, f"{page.name}: {len(words)} words: {sentence}"


def test_the_guide_has_twenty_five_recipes() -> None:
    guide = (ROOT / "docs" / "guide.md").read_text("utf-8")
    numbers = [int(number) for number in re.findall(r"^\*\*(\d+)\. ", guide, re.MULTILINE)]
    assert numbers == list(range(1, 26))
    assert not any(block.why for block in blocks(ROOT / "docs" / "guide.md"))


@pytest.mark.parametrize("page", [*PAGES, *ROOT.glob("[C,S]*.md")], ids=lambda page: page.name)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{page.name}: {target}"


def test_the_recorded_session_shows_the_commands_of_its_script() -> None:
    commands = runpy.run_path(str(ROOT / "scripts" / "record_session.py"))["COMMANDS"]
    picture = html.unescape((ROOT / "docs" / "session.svg").read_text("utf-8")).replace("\xa0", " ")
    assert len(commands) == picture.count(">$ <")
    assert [command for command in commands if command not in picture] == [], "run scripts/record_session.py"
    assert "http" not in picture.replace("http://www.w3.org/2000/svg", "")


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the dependency group `docs` is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert (tmp_path / "guide" / "index.html").exists()
    assert len(list((tmp_path / "reference").rglob("index.html"))) > 5
