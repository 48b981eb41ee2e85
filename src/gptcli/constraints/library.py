"""llguidance's native classes without its package's `__init__`, which looks up its own version: 5 instead of 40 ms."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLParserLimits, LLTokenizer


def _load() -> Any:
    spec = importlib.util.find_spec("llguidance") if "llguidance" not in sys.modules else None
    if spec is not None and spec.submodule_search_locations is not None:
        package = types.ModuleType("llguidance")
        package.__path__ = spec.submodule_search_locations
        package.__spec__ = spec
        sys.modules["llguidance"] = package
        try:
            with contextlib.suppress(ImportError):
                return importlib.import_module("llguidance._lib")
        finally:
            del sys.modules["llguidance"]  # whoever imports it later gets the whole package
    return importlib.import_module("llguidance")


if not TYPE_CHECKING:
    _lib = _load()
    LLMatcher, LLTokenizer, LLParserLimits = _lib.LLMatcher, _lib.LLTokenizer, _lib.LLParserLimits

_STEP_FUEL = 1_000_000
"""Parts of regular expressions that one step may build. llguidance's own 200,000 end answers of 2,500 bytes to schemas
whose constants are many and long, such as those of GitHub's webhooks."""


def new_matcher(tokenizer: LLTokenizer, grammar: str) -> LLMatcher:
    """A matcher with nothing behind it, silent and within limits; see its `is_error`."""
    return LLMatcher(tokenizer, grammar, log_level=0, limits=LLParserLimits(step_lexer_fuel=_STEP_FUEL))


__all__ = ["LLMatcher", "LLTokenizer", "new_matcher"]
