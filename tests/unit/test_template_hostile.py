"""Chat templates come with downloaded models; a hostile one gets exit 4 soon and in little memory."""

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from time import thread_time

import pytest

from gptcli.errors import ExitCode, GptcliError
from gptcli.prompt import template as template_module
from gptcli.prompt.sandbox import Sandbox, TemplateFailure
from gptcli.prompt.template import ChatTemplate
from gptcli.types import Message

SECONDS = 0.2
"""Allowed here instead of the real two, to be quick."""


def doubling(expression: str, start: str) -> str:
    """A template that applies `expression` to its own result a hundred times."""
    return (
        f"{{% set n = namespace(x={start}) %}}{{% for i in range(100) %}}{{% set n.x = {expression} %}}{{% endfor %}}"
    )


ATTRIBUTES = {
    "class": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "item": "{{ messages['__class__']['__base__'].x }}",
    "function": "{{ raise_exception.__globals__.x }}",
    "macro": "{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}",
    "context": "{{ self._TemplateReference__context.environment }}",
    "format": "{{ '{0.__class__.__mro__}'.format('') }}",
    "format map": "{{ '{a.__class__}'.format_map({'a': ''}) }}",
    "percent format": "{{ ('{0.__class__.__mro__}' | format).format('') }}",
    "map attribute": "{{ [''] | map(attribute='__class__.__mro__') | list }}",
    "jinja's own": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "append": "{{ messages.append(1) }}",
    "update": "{{ messages[0].update({'role': 'x'}) }}",
    "encode": "{{ 'abc'.encode() }}",
    "include": "{% include '/etc/passwd' %}",
    "extends": "{% extends '/etc/passwd' %}",
    "import": "{% from 'x' import y %}",
}
COLLIDING = 2**61 - 1
"""Multiples of it have equal hashes."""
ENDLESS = {
    "one loop": "{% for i in range(10**12) %}{% endfor %}",
    "loops in loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "filtered": "{% for a in range(99999) %}{% for b in range(99999) if false %}{% endfor %}{% endfor %}",
    "loop length": "{% for a in range(99999) %}{% for b in range(99999) %}{{ loop.length }}{% break %}{% endfor %}"
    "{% endfor %}",
    "loop changed": "{% for a in range(99999) %}{% for b in range(99999) %}{{ loop.changed(b) }}{% endfor %}"
    "{% endfor %}",
    "recursion": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "tree": "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "recursive loop": "{% for x in [1,2] recursive %}{% if loop.depth < 60 %}{{ loop([1,2]) }}{% endif %}{% endfor %}",
    "block": "{% block b %}{{ self.b() }}{{ self.b() }}{% endblock %}",
    "sorting": "{% set s = range(99999) | list %}{% for i in range(99999) %}{{ s | sort | length }}{% endfor %}",
    "searching": "{% set s = 'a'*5000000 %}{% set t = 'a'*1000000 ~ 'b' %}{% for i in range(99999) %}"
    "{% if t in s %}{% endif %}{% endfor %}",
    "comparing": "{% set s = 'a'*5000000 %}{% set t = s[1:] ~ 'a' %}{% for i in range(99999) %}"
    "{% if s == t and t == s %}{% endif %}{% endfor %}",
    "testing": "{% set s = 'a'*5000000 %}{% for i in range(99999) %}{% if s is lower %}{% endif %}{% endfor %}",
    "equal trees": doubling("(n.x, n.x)", "(1,)"),
    "parentheses": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "a long sum": "{{ " + "+".join(["1"] * 20000) + " }}",
    "deep ifs": "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
    "a huge source": "x" * 200_000,
    "branches": "".join(f"{{% set b{i} = 1 %}}" for i in range(1100)) + "{% if a %}{% endif %}" * 1100 + "{{ 1 / 0 }}",
    "rfind": "{{ ('a'*300000).rfind('ab' ~ 'a'*100000) }}",
    "rsplit": "{{ ('a'*300000).rsplit('ab' ~ 'a'*100000) }}",
    "strip": "{{ ('a'*2000000).strip('b'*200000 ~ 'a') | length }}",
    "trim": "{{ ('a'*2000000) | trim('b'*200000 ~ 'a') | length }}",
    "equal hashes": f"{{{{ dict(range(0, {COLLIDING}*60000, {COLLIDING}) | batch(2) | list) | length }}}}",
    "round": "{{ 1 | round(-20000000) }}",
    "arguments": "{% set n = namespace(x=1) %}{% macro m() %}{% set n.x = varargs %}{% endmacro %}"
    "{% for i in range(26) %}{{ m(n.x, n.x) }}{% endfor %}{% set a = n.x %}{% set n.x = 1 %}"
    "{% for i in range(26) %}{{ m(n.x, n.x) }}{% endfor %}{{ a == n.x }}",
}
HUGE = {
    "repeat": "{{ 'a' * 10**9 }}",
    "repeat again": doubling("n.x * 1000", "'a'"),
    "repeat a list": "{{ [0] * 10**9 }}",
    "repeat lists": doubling("[n.x] * 100", "[1]") + "{{ n.x }}",
    "concatenate": doubling("n.x ~ n.x", "'aaaa'"),
    "add": doubling("n.x + n.x", "'aaaa'"),
    "add lists": doubling("n.x + n.x", "[1]") + "{{ n.x }}",
    "set block": "{% set n = namespace(x='aaaa') %}{% for i in range(100) %}{% set y %}{{ n.x }}{{ n.x }}{% endset %}"
    "{% set n.x = y %}{% endfor %}",
    "call blocks": "{% macro m() %}{{ caller() }}{{ caller() }}{% endmacro %}"
    + "{% call m() %}" * 40
    + "x" * 100
    + "{% endcall %}" * 40,
    "filter block": "{% filter upper %}{% for i in range(99999) %}" + "x" * 5000 + "{% endfor %}{% endfilter %}",
    "output": "{% for i in range(99999) %}" + "x" * 50000 + "{% endfor %}",
    "output lists": "{% set l = ['a'] * 100000 %}{% set y %}{% for i in range(99999) %}{{ l }}{% endfor %}{% endset %}",
    "join": "{{ range(99999) | join('a' * 100000) }}",
    "join method": "{{ ('a' * 100000).join(range(9999) | map('string') | list) }}",
    "replace": "{{ ('a' * 100000) | replace('', 'b' * 100000) }}",
    "replace method": "{{ ('a' * 100000).replace('', 'b' * 100000) }}",
    "center": "{{ 'a' | center(10**9) }}",
    "center method": "{{ 'a'.center(10**9) }}",
    "ljust": "{{ 'a'.ljust(width=10**9) }}",
    "zfill": "{{ 'a'.zfill(10**9) }}",
    "expandtabs": "{{ '\t'.expandtabs(10**9) }}",
    "indent": "{{ 'a\nb' | indent(10**9) }}",
    "indent by text": "{{ ('a\n' * 100000) | indent('b' * 100000) }}",
    "title": "{{ ('a ' * 4000000) | title }}",
    "tojson": "{{ [1] | tojson(indent=10**9) }}",
    "batch": "{{ [1] | batch(10**9, 'x') | list }}",
    "slice": "{{ [1] | slice(10**9) | list }}",
    "percent": "{{ '%1000000000d' % 1 }}",
    "percent star": "{{ '%*d' % (10**9, 1) }}",
    "precision": "{{ '%.999999999f' % 1 }}",
    "format filter": "{{ '%1000000000d' | format(1) }}",
    "format": "{{ '{:1000000000}'.format(1) }}",
    "format nested": "{{ '{:{}}'.format('a', '999999999') }}",
    "format often": "{{ ('{0}' * 10000).format('a' * 100000) }}",
    "date": "{{ strftime_now('%999999999d') }}",
    "power": "{{ 10 ** 10000000 }}",
    "squares": doubling("n.x * n.x", "3"),
    "lists of lists": doubling("[n.x, n.x]", "['a']") + "{{ n.x }}",
    "dicts of dicts": doubling("{'a': n.x, 'b': n.x}", "{}") + "{{ n.x | tojson }}",
    "dict()": doubling("dict(a=n.x, b=n.x)", "{}") + "{{ n.x }}",
    "letters": "{% for i in range(9999) %}{{ ('é' * 10000000) | list | length }}{% endfor %}",
    "splits": "{% for i in range(9999) %}{{ ('ab' * 5000000).split('a') | length }}{% endfor %}",
    "text of numbers": "{{ [10**1200] * 300000 }}",
    "text of views": "{% set d = {'a': 'x'*1000000} %}{{ [d.items()] * 600 }}",
    "text of sets": "{% set d = {'x'*1000000: 1} %}{{ [d.keys() - []] * 600 }}",
    "deep tojson": "{% set n = namespace(x=[1]*100000) %}{% for i in range(300) %}{% set n.x = [n.x] %}{% endfor %}"
    "{{ n.x | tojson(indent=10) | length }}",
    "replace in a list": "{{ ['a'*10000] | replace('', 'b'*30000) | length }}",
    "replace by name": "{{ ('a'*10000) | replace(new='b'*30000, old='') | length }}",
    "join generated": "{{ ('a' * 100000).join(range(9999) | map('string')) }}",
    "escape": "{{ ('\"' * 2900000 ~ '\U0001f600') | e | length }}",
    "odd": "{{ '%300000000d' is odd }}",
    "divisible": "{{ '%300000000d' is divisibleby(3) }}",
    "format a list": "{{ ['%300000000d'] | format(1) }}",
    "format by key": "{{ '%(a)300000000d' | format(a=1) }}",
    "format with a space": "{{ '% 300000000d' % 1 }}",
    "format aligned": "{{ '{:*>300000000}'.format(1) }}",
    "kept slices": "{% set s = 'a' * 10000000 %}{% macro m(n, x) %}{{ m(n + 1, x[1:]) if n < 200 }}{% endmacro %}"
    "{{ m(0, s) }}",
}
ATTACKS = {**ATTRIBUTES, **ENDLESS, **HUGE}


CONSTANTS = {
    "power": "{{ 10**10000000 }}",
    "format": "{{ '%s'|format(9**5000) }}",
    "repeat": "{{ 'a'*1000000000 }}",
    "repeat a tuple": "{{ ((1, 2) * 1000000000) | length }}",
    "chain": "{{ " + "~".join(["'a'*100000"] * 300) + " }}",
    "filters": "{{ 'a' | center(1000000000) }}",
}
"""What jinja2 would compute while it compiles."""


def attack(source: str) -> tuple[int, float]:
    """The exit code that a template ends with (0 if it just renders) and the seconds of computing it got."""
    began = thread_time()
    try:
        ChatTemplate(source).render([Message("user", "Hi")])
        code = ExitCode.OK
    except GptcliError as error:
        code = error.exit_code
    return int(code), thread_time() - began


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes(name: str) -> None:
    code, _ = attack(ATTRIBUTES[name])
    assert code == ExitCode.LOAD


@pytest.mark.parametrize("name", [*ENDLESS, *HUGE])
def test_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_module, "_SECONDS", SECONDS)
    code, seconds = attack(ATTACKS[name])
    assert code == ExitCode.LOAD
    assert seconds < SECONDS + 3  # of a slow processor; most end within half a second


@pytest.mark.parametrize("name", CONSTANTS)
@pytest.mark.parametrize("trusted", [False, True])
def test_nothing_large_is_computed_while_compiling(name: str, trusted: bool) -> None:
    sandbox = Sandbox({}, {}, trusted=trusted)
    tracemalloc.start()
    try:
        template = sandbox.compile_template("{% if false %}" + CONSTANTS[name] + "{% endif %}")
        assert sandbox.render(template, {}, room=1000, seconds=1.0) == ""
        with pytest.raises(TemplateFailure) as failed:
            sandbox.render(sandbox.compile_template(CONSTANTS[name]), {}, room=1_000_000, seconds=1.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert failed.value.kind == "limit"
    assert peak < 3_000_000  # bytes; the tree of the chain's 300 terms takes half of it, its text would take 30 MB


def test_a_trusted_template_may_write_and_must_not_miss_a_variable() -> None:
    sandbox = Sandbox({}, {}, trusted=True)

    def render(source: str) -> str:
        return sandbox.render(sandbox.compile_template(source), {"row": {"a": "x"}}, room=100_000, seconds=1.0)

    assert (
        render("{% set l = [] %}{% for i in range(3) %}{% set _ = l.append(row.a) %}{% endfor %}{{ l | join }}")
        == "xxx"
    )
    assert render("{{ row.a | wordwrap }} {{ 'é'.encode() | length }}") == "x 2"
    with pytest.raises(TemplateFailure, match="b") as failed:
        render("{{ row.b }}")
    assert failed.value.kind == "undefined"
    with pytest.raises(TemplateFailure) as failed:
        render("{% set l = [1] %}{% for i in l %}{% set _ = l.append(1) %}{% endfor %}")
    assert failed.value.kind == "limit"
    with pytest.raises(TemplateFailure, match=r"line 2\)") as failed:
        render("\n{% if %}")
    assert failed.value.kind == "broken"
    with pytest.raises(TemplateFailure):
        render("{{ row.__class__.__mro__ }}")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ '%d' | format(1754000000) }}", "1754000000"),
        ('{{ \'{{"a": {{"b": {}}}}}\'.format(1) }}', '{"a": {"b": 1}}'),
        ('{{ \'{"a": {"b": "%s"}} In 2024 (x) * 12345\' % \'y\' }}', '{"a": {"b": "y"}} In 2024 (x) * 12345'),
        ("{{ ('word ' * 20000) | truncate(2000, true, '') | length }}", "2000"),
        ("{{ 86400 * 1000000 }} {{ 7 % 4 }} {{ 2 ** 10 }} {{ 2 ** -1 }}", "86400000000 3 1024 0.5"),
        ("{% if [] | select %}a{% endif %}{{ ('a', 'b') | join('-') }}{{ {'a': [1]} | tojson(indent=1) }}", None),
    ],
)
def test_what_honest_templates_do_is_within_the_bounds(source: str, expected: str | None) -> None:
    (segment,) = ChatTemplate(source).render([Message("user", "Hi")])
    assert segment.text == (expected or 'aa-b{\n "a": [\n  1\n ]\n}')


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak memory in KiB")
def test_memory() -> None:
    script = (
        "import json, resource, sys\n"
        "import test_template_hostile as hostile\n"
        "hostile.template_module._SECONDS = hostile.SECONDS\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "hostile.attack('{{ 1 }}')\n"
        "before = peak()\n"
        "print(json.dumps({name: [hostile.attack(source)[0], peak() - before]"
        " for name, source in hostile.ATTACKS.items()}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parent, capture_output=True, check=True)
    results = json.loads(done.stdout)
    assert max(kib for _, kib in results.values()) < 256 * 1024, results
