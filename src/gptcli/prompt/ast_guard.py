"""A chat template's syntax tree, with gates put where jinja2 would act without asking its sandbox.

It knows jinja2's nodes and the names of the sandbox's methods; what passing a gate costs is the sandbox's business.
"""

from __future__ import annotations

from jinja2 import nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.visitor import NodeTransformer


class Gates(NodeTransformer):
    """Turns what jinja2 does without asking the sandbox into calls of the sandbox."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.iter = _gate("steps", node.iter)  # type: ignore[arg-type]  # jinja2 declares it as any node
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _gate("joined", *node.nodes)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        self.generic_visit(node)
        return _gate("grown", node) if node.ctx == "load" else node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        return _gate("grown", node) if isinstance(node.arg, nodes.Slice) else node

    def visit_List(self, node: nodes.Expr) -> nodes.Node:
        self.generic_visit(node)
        return _gate("grown", node)

    visit_Dict = visit_Compare = visit_List

    def visit_Include(self, node: nodes.Node) -> nodes.Node:
        raise TemplateSyntaxError("a chat template stands alone", node.lineno)

    visit_Import = visit_FromImport = visit_Extends = visit_Include
    visit_EvalContextModifier = visit_ScopedEvalContextModifier = visit_Include  # {% autoescape %}


def _gate(name: str, *arguments: nodes.Expr) -> nodes.Call:
    attribute = nodes.EnvironmentAttribute(name)
    return nodes.Call(attribute, list(arguments), [], None, None, lineno=arguments[0].lineno)


class Generation(Extension):
    """`{% generation %}…{% endgeneration %}` marks what the model said, for training; for a prompt it is its body."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        lineno = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=lineno)
