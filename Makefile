# The few commands a contributor needs. `make setup` first; it compiles llama.cpp, about five minutes on two cores.
.PHONY: setup test lint fix docs site completions package conformance

setup:
	python3 -m venv .venv && .venv/bin/pip install -U pip && .venv/bin/pip install --group dev -e .

test:
	.venv/bin/pytest

lint:
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && .venv/bin/lint-imports --no-logo && .venv/bin/deptry src

fix:
	.venv/bin/ruff check --fix . && .venv/bin/ruff format .

docs:
	.venv/bin/python scripts/make_reference.py
	.venv/bin/python scripts/make_man.py

site:
	.venv/bin/pip install --quiet --group docs && .venv/bin/mkdocs build --strict

package:
	rm -rf dist && .venv/bin/python -m build && .venv/bin/python scripts/smoke_test.py dist/*.whl dist/*.tar.gz

completions:
	.venv/bin/gptcli completions show bash > completions/gptcli.bash
	.venv/bin/gptcli completions show zsh > completions/_gptcli
	.venv/bin/gptcli completions show fish > completions/gptcli.fish
	.venv/bin/gptcli completions show powershell > completions/gptcli.ps1

conformance:
	.venv/bin/python conformance/run.py
