"""The catalog: every entry is complete and valid."""

from __future__ import annotations

import pytest

from gptcli.models.gguf import quantization
from gptcli.models.refs import catalog
from gptcli.models.refs.reference import AliasReference, is_repo, parse
from gptcli.models.store import store


@pytest.mark.parametrize("entry", catalog.entries().values(), ids=lambda entry: entry.alias)
def test_an_entry_is_complete(entry: catalog.Entry) -> None:
    assert parse(entry.alias) == AliasReference(entry.alias)
    assert is_repo(entry.repo)
    assert entry.licence
    assert entry.good_for
    if entry.file is not None:
        assert quantization.of(entry.file) is not None
        assert store.snapshot_path(entry.repo, entry.commit or "c" * 40, entry.file).name == entry.file
    else:
        assert entry.commit is entry.size is entry.sha256 is None
    if entry.commit is not None:
        assert len(entry.commit) == 40
        assert int(entry.commit, 16)
    if entry.sha256 is not None:
        assert len(entry.sha256) == 64
        assert int(entry.sha256, 16)
        assert entry.size
    if entry.wheel is not None:
        assert "==" in entry.wheel.requirement
        assert entry.commit
        assert entry.sha256


def test_the_default_model_has_a_mirror() -> None:
    starter = catalog.entries()[catalog.default_alias()]
    assert starter.size == 98_362_432
    assert starter.wheel is not None


def test_aliases_are_unique() -> None:
    files = [(entry.repo, entry.file) for entry in catalog.entries().values()]
    assert len(set(files)) == len(files)
