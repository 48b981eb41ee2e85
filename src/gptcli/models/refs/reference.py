"""Parse a model reference: a path, an alias, or a place on the hub. Only the text is looked at."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeGuard

from gptcli.errors import ModelNotFound

HUB_HOSTS = ("huggingface.co", "hf.co", "www.huggingface.co")
MAX_NAME_BYTES = 255
"""Of a file or folder, on nearly every file system."""
EXTERNAL_STORES = ("lmstudio", "ollama")
"""Prefixes of references to other programs' models: `ollama:llama3.2:1b`."""

_NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
_REPO = re.compile(rf"{_NAME}/{_NAME}")
_TAG = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_ALIAS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:+-]*")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_FORMS = "Give an alias, USER/REPO, USER/REPO:QUANT, USER/REPO:FILE.gguf, a page of the hub, or a GGUF file's path."


@dataclass(frozen=True, slots=True)
class PathReference:
    """A file on this machine, as written."""

    path: str


@dataclass(frozen=True, slots=True)
class AliasReference:
    """One word: the user's own alias, or the catalog's."""

    name: str


@dataclass(frozen=True, slots=True)
class HubReference:
    """A repository of the hub, and at most one of a file in it and a quantization."""

    repo: str
    file: str | None = None
    tag: str | None = None
    revision: str | None = None
    """A branch, tag or commit; None for `main`."""

    def __str__(self) -> str:
        if self.revision is not None:
            from urllib.parse import quote

            place = f"https://{HUB_HOSTS[0]}/{self.repo}/{{}}/{quote(self.revision, safe='')}"
            return place.format("tree") if self.file is None else f"{place.format('blob')}/{quote(self.file)}"
        chosen = self.file or self.tag
        return self.repo if chosen is None else f"{self.repo}:{chosen}"


Reference = PathReference | AliasReference | HubReference


def parse(text: str, *, endpoint: str = "") -> Reference:
    """Parse `text`; pages of the hub at `endpoint` are accepted too. Raises ModelNotFound for an invalid reference."""
    text = text.strip()
    if not text or not text.isprintable():
        raise ModelNotFound(f"{text!r} is not a model reference.", _FORMS)
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() in {"http", "https"}:
        return _page(text, endpoint)
    if colon and scheme.lower() == "hf":
        return _hub_place(rest.removeprefix("//"))
    if colon and scheme in EXTERNAL_STORES:
        return AliasReference(text)
    host, slash, rest = text.partition("/")
    if slash and host.lower() in HUB_HOSTS:
        return _page(f"https://{text}", endpoint)
    return _bare(text)


def _bare(text: str) -> Reference:
    if text.startswith(("/", "~", "./", "../")) or text in {".", ".."} or "\\" in text or _DRIVE.match(text):
        return PathReference(text)
    repo, _, tag = text.partition(":")
    if _REPO.fullmatch(repo) and (tag or not repo.lower().endswith(".gguf")):
        return _hub_place(text)
    if "/" in text or text.lower().endswith(".gguf"):
        return PathReference(text)
    if _ALIAS.fullmatch(text):
        return AliasReference(text)
    return PathReference(text)


def _hub_place(text: str) -> HubReference:
    """USER/REPO, USER/REPO:QUANT, USER/REPO:FILE or USER/REPO/FILE."""
    repo, colon, chosen = text.partition(":")
    user, _, rest = repo.partition("/")
    name, slash, inside = rest.partition("/")
    if slash and not colon:
        repo, chosen = f"{user}/{name}", inside
    if not is_repo(repo) or ((colon or slash) and not chosen):
        raise ModelNotFound(f"{text!r} is not a repository or file on the hub.", _FORMS)
    if not chosen:
        return HubReference(repo)
    if slash or "/" in chosen or chosen.lower().endswith(".gguf"):
        return HubReference(repo, file=_file(chosen))
    if not _TAG.fullmatch(chosen):
        raise ModelNotFound(f"{chosen!r} is neither a quantization nor a file of {repo}.", _FORMS)
    return HubReference(repo, tag=chosen)


def _page(url: str, endpoint: str) -> HubReference:
    """A URL from a browser: a repository, its tree, or one of its files."""
    from urllib.parse import parse_qs, unquote, urlsplit  # takes 5 ms, which aliases and paths need not wait for

    try:
        page, own = urlsplit(url), urlsplit(endpoint)
    except ValueError as error:
        raise ModelNotFound(f"{url!r} is not a valid URL.", _FORMS) from error
    if page.netloc.lower() not in {*HUB_HOSTS, own.netloc.lower()}:
        raise ModelNotFound(f"{page.netloc!r} is not a model hub.", "Download the file and give its path.")
    path = page.path.removeprefix(own.path.rstrip("/") + "/") if own.netloc == page.netloc else page.path
    parts = path.strip("/").split("/")
    if len(parts) == 2 and ":" in parts[1]:  # hf.co/USER/REPO:QUANT, as ollama has it
        return _hub_place(unquote("/".join(parts)))
    repo = "/".join(parts[:2])
    if not is_repo(repo):
        raise ModelNotFound(f"{url!r} is not the page of a model.", _FORMS)
    shown = parse_qs(page.query).get("show_file_info")
    if len(parts) >= 4 and parts[2] in {"blob", "resolve", "raw", "tree"}:
        revision = unquote(parts[3])
        inside = unquote("/".join(parts[4:])) if parts[2] != "tree" else ""
    elif len(parts) == 2 or parts[2:] == ["tree"]:
        revision, inside = "main", ""
    else:
        raise ModelNotFound(f"{url!r} is not the page of a model.", _FORMS)
    inside = inside or (shown[0] if shown else "")
    revised = None if revision == "main" else _revision(revision)
    return HubReference(repo, _file(inside) if inside else None, revision=revised)


def is_repo(name: str) -> bool:
    """Whether `name` is a valid USER/REPO (huggingface_hub.utils.validate_repo_id)."""
    forbidden = "--" in name or ".." in name or name.endswith(".git") or len(name) > 96
    return _REPO.fullmatch(name) is not None and not forbidden


def is_filename(name: object) -> TypeGuard[str]:
    """Whether `name` is a path in a repository: none that leads out of it, controls a terminal or is too long."""
    if not isinstance(name, str) or not name.isprintable():
        return False
    steps = name.split("/")
    return all(step not in {"", ".", ".."} and not set(step) & set("\\:") for step in steps) and (
        max(len(step.encode()) for step in steps) <= MAX_NAME_BYTES
    )


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A question with the `names` nearest to `name`, or nothing."""
    import difflib

    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(near)}?" if near else ""


def _file(name: str) -> str:
    if not is_filename(name):
        raise ModelNotFound(f"{name!r} is not the name of a file in a repository.", _FORMS)
    return name


def _revision(name: str) -> str:
    if not name.isprintable() or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*", name) or ".." in name:
        raise ModelNotFound(f"{name!r} is not a branch, tag or commit.", _FORMS)
    return name
