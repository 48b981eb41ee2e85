"""The continuations of a prompt as a tree, in which what several of them begin with is there once."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Many
from dataclasses import dataclass, field

from gptcli.engine.slots import common_prefix


@dataclass(slots=True, eq=False)
class Branch:
    """Tokens that follow those of the branch above; the root has none."""

    tokens: list[int]
    ends: list[int] = field(default_factory=list)
    """Indices of the continuations that end here."""
    children: list[Branch] = field(default_factory=list)
    """Branches that begin with different tokens."""

    @property
    def is_computed(self) -> bool:
        """Whether it needs a sequence; a last token is scored by what comes before it, and never computed itself."""
        return bool(self.children) or len(self.tokens) > 1

    @property
    def below(self) -> int:
        """How many of the branches below need a sequence."""
        return sum(branch.is_computed for branch in self.walk()) - self.is_computed

    @property
    def tokens_below(self) -> int:
        """Tokens of all branches below."""
        return sum(len(branch.tokens) for branch in self.walk()) - len(self.tokens)

    def walk(self) -> Iterator[Branch]:
        """This branch and all below."""
        waiting = [self]
        while waiting:
            branch = waiting.pop()
            yield branch
            waiting += branch.children


def make_tree(continuations: Many[Many[int]]) -> Branch:
    """The root of the tree.

    In sorted order a continuation leaves the one before it where the two differ, so a stack of the branches that lead
    to that one is enough."""
    root = Branch([])
    stack = [(root, 0)]  # each with the length of the path to its end
    before: list[int] = []
    for tokens, index in sorted((list(tokens), index) for index, tokens in enumerate(continuations)):
        shared = common_prefix(before, tokens)
        while stack[-1][1] > shared:
            branch, _ = stack.pop()
            parent, depth = stack[-1]
            if depth < shared:  # it differs within the branch, which is split there
                cut = shared - depth
                parent.children[-1] = upper = Branch(branch.tokens[:cut], children=[branch])
                branch.tokens = branch.tokens[cut:]
                stack.append((upper, shared))
        if len(tokens) > shared:
            branch = Branch(tokens[shared:])
            stack[-1][0].children.append(branch)
            stack.append((branch, len(tokens)))
        stack[-1][0].ends.append(index)
        before = tokens
    return root
