"""Where a model's file lies on this machine: the model hub's cache layout, shared with every tool that uses it.

It knows paths, links and names; it neither fetches nor judges a file, and needs no huggingface_hub.

    models--USER--REPO/refs/main              the commit that `main` was when somebody last asked
                       blobs/SHA256           the content
                       snapshots/COMMIT/FILE  a relative link to it; the content itself where links are refused

Source of the layout: huggingface_hub's guide "Understand caching".
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from gptcli import settings
from gptcli.errors import ModelNotFound


def repo_dir(repo: str) -> Path:
    """The folder of `USER/REPO`, there or not. ModelNotFound for a name that is no repository's."""
    parts = repo.split("/")
    if len(parts) > 2 or not all(map(_is_plain, parts)):
        raise ModelNotFound(f"{repo!r} is no repository name.", "A repository is named USER/REPO.")
    return settings.hub_cache_dir() / "--".join(["models", *parts])


def snapshot_path(repo: str, commit: str, filename: str) -> Path:
    """Where `filename` of `commit` belongs. ModelNotFound for names that lead elsewhere (`..`, absolute, NUL)."""
    parts = PurePosixPath(filename).parts
    if not (_is_plain(commit) and parts and all(map(_is_plain, filename.split("/")))):
        raise ModelNotFound(f"{filename!r} is no file name inside a repository.")
    return repo_dir(repo).joinpath("snapshots", commit, *parts)


def commit_of(repo: str, revision: str = "main") -> str | None:
    """The commit that this machine last saw as that branch, tag or commit."""
    if len(revision) == 40 and set(revision) <= set("0123456789abcdef"):
        return revision
    if not all(map(_is_plain, revision.split("/"))):
        return None
    try:
        commit = (repo_dir(repo) / "refs" / revision).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return commit if _is_plain(commit) else None


def commits(repo: str) -> list[str]:
    """The commits of which something is stored: `main` first, then the one stored last."""
    main = commit_of(repo)
    try:
        found = [(entry.name != main, -entry.stat().st_mtime_ns, entry.name) for entry in _folders(repo)]
    except OSError:
        return []
    return [name for *_, name in sorted(found)]


def _folders(repo: str) -> list[os.DirEntry[str]]:
    with os.scandir(repo_dir(repo) / "snapshots") as entries:
        return [entry for entry in entries if entry.is_dir()]


def find(repo: str, filename: str, *, commit: str | None = None, sha256: str | None = None) -> Path | None:
    """The stored file: that of `commit`, else, with `sha256`, that very file of any commit.

    With neither, the newest of that name.
    """
    if commit is not None:
        path = snapshot_path(repo, commit, filename)
        if path.is_file():
            return path
        if sha256 is None:
            return None
    for other in commits(repo):
        path = snapshot_path(repo, other, filename)
        if path.is_file() and (sha256 is None or blob_name(path) == sha256):
            return path
    return None


def files(repo: str, commit: str) -> list[str]:
    """The names of the GGUF files of `commit` that are stored."""
    root = repo_dir(repo) / "snapshots" / commit
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.gguf") if path.is_file())


def blob_name(path: Path) -> str | None:
    """The name of the blob that a snapshot's link points to; None where the file itself lies there."""
    try:
        return os.path.basename(os.readlink(path))
    except OSError:
        return None


def blob_path(repo: str, sha256: str) -> Path:
    """Where content of that hash belongs; its folder is made."""
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise ModelNotFound(f"{sha256!r} is no SHA-256.")
    folder = repo_dir(repo) / "blobs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / sha256


def publish(part: Path, *, repo: str, commit: str, filename: str, sha256: str) -> Path:
    """Give a complete, verified and closed file in `blobs/` its name; return the path under which it is found.

    `part` lies in the folder of `blob_path` and is gone afterwards. Every step is atomic: killed between any two,
    the next run finds a whole file or none. `refs/main` is written only where there is none: the hub moves it.
    """
    check_inside(snapshot_path(repo, commit, filename), repo)
    with open(part, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, blob_path(repo, sha256))
    return link(repo=repo, commit=commit, filename=filename, sha256=sha256)


def link(*, repo: str, commit: str, filename: str, sha256: str) -> Path:
    """Have `filename` of `commit` found as the content of that hash, which lies in `blobs/`; return that path."""
    pointer = snapshot_path(repo, commit, filename)
    check_inside(pointer, repo)
    pointer.parent.mkdir(parents=True, exist_ok=True)
    _point(pointer, blob_path(repo, sha256))
    reference = repo_dir(repo) / "refs" / "main"
    if not reference.exists():
        reference.parent.mkdir(exist_ok=True)
        _write(reference, commit)
    return pointer


def check_inside(pointer: Path, repo: str) -> None:
    """ModelNotFound unless the folders above `pointer`, links followed, still lie in the repository's own."""
    if not pointer.parent.resolve().is_relative_to(repo_dir(repo).resolve()):
        raise ModelNotFound(f"{pointer.parent} leads out of the model cache.", "Remove that link and try again.")


def _point(pointer: Path, blob: Path) -> None:
    if pointer.is_symlink() and pointer.exists() and blob_name(pointer) == blob.name:
        return
    new = _temporary(pointer)
    try:
        os.symlink(os.path.relpath(blob, pointer.parent), new)
    except (OSError, NotImplementedError):  # Windows without the right, or a file system without links
        os.replace(blob, pointer)
    else:
        os.replace(new, pointer)


def _write(path: Path, text: str) -> None:
    new = _temporary(path)
    new.write_text(text, "ascii")
    os.replace(new, path)


def _temporary(path: Path) -> Path:
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    return new


def _is_plain(name: str) -> bool:
    """Whether `name` is one step down and nothing else, on every system."""
    return name not in {"", ".", ".."} and not set(name) & set("/\\:\0")
