"""Prometheus metrics; their names follow vLLM's where it has the same one."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from gptcli.types import Finished

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120, 300, 600)
_TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)


class Metrics:
    """Counts what the engine does. Any thread may call it."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._responses = Counter(
            "gptcli_http_responses", "HTTP responses by path and status.", ("path", "status"), registry=registry
        )
        self._prompt = Counter("gptcli_prompt_tokens", "Prompt tokens.", registry=registry)
        self._cached = Counter("gptcli_cached_prompt_tokens", "Prompt tokens that were cached.", registry=registry)
        self._generated = Counter("gptcli_generation_tokens", "Generated tokens.", registry=registry)
        self._samples = Counter(
            "gptcli_samples", "Samples that have ended, by reason.", ("finished_reason",), registry=registry
        )
        self._failed = Counter(
            "gptcli_failed_requests", "Requests that the engine could not answer.", registry=registry
        )
        self._first = Histogram(
            "gptcli_time_to_first_token_seconds",
            "From a request's arrival to its first text.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._between = Histogram(
            "gptcli_time_per_output_token_seconds",
            "Mean time between the tokens of a sample.",
            buckets=_TOKEN_SECONDS,
            registry=registry,
        )
        self._whole = Histogram(
            "gptcli_request_seconds", "From a request's arrival to its end.", buckets=_SECONDS, registry=registry
        )

    def gauge(self, name: str, help: str, value: Callable[[], float]) -> None:
        """A number that is looked up whenever metrics are read."""
        Gauge(f"gptcli_{name}", help, registry=self.registry).set_function(value)

    def response(self, path: str, status: int) -> None:
        """Count an HTTP response."""
        self._responses.labels(path, str(status)).inc()

    def first_text(self, seconds: float) -> None:
        """A request's first text came."""
        self._first.observe(seconds)

    def finished(self, event: Finished) -> None:
        """A sample has ended."""
        self._samples.labels(event.reason.value).inc()
        if event.index == 0:
            self._prompt.inc(event.prompt_tokens)
            self._cached.inc(event.reused_tokens)
        self._generated.inc(event.completion_tokens)
        if event.completion_tokens > 1:
            self._between.observe(event.decode_seconds / (event.completion_tokens - 1))

    def ended(self, seconds: float, *, failed: bool) -> None:
        """A request has ended."""
        self._whole.observe(seconds)
        if failed:
            self._failed.inc()

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self.registry)
