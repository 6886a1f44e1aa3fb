"""Small changes of a Python source that a test must notice, one at a time.

A mutation replaces the text of one expression or statement and leaves the other lines as they are. It spares
what carries no behavior (docstrings, annotations, imports, strings), what only reports or guards a mistake
(messages of `raise`, `assert`) and the defaults of `opt`, which are choices and not behavior.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult,
}  # fmt: skip


@dataclass(frozen=True)
class Mutation:
    """One replacement in a file; `start` and `end` are offsets into its bytes, lines count from 1."""

    line: int
    start: int
    end: int
    kind: str
    before: str
    after: str
    function: int = 0  # first line of the innermost function around it, with its decorators

    def apply(self, source: str) -> str:
        """Return the mutated source."""
        data = source.encode()
        return (data[: self.start] + self.after.encode() + data[self.end :]).decode()


def find_mutations(source: str) -> list[Mutation]:
    """Return all mutations of a source, in its order."""
    data, starts = source.encode(), [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    tree = ast.parse(source)
    functions = [
        (min([node.lineno, *(each.lineno for each in node.decorator_list)]), node.end_lineno or node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    ]
    for node, kind, after in _visit(tree):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[operator]
        before = data[start:end].decode()
        text = after if isinstance(node, ast.stmt) else f"({after})"
        function = max((first for first, last in functions if first <= node.lineno <= last), default=0)
        found.append(Mutation(node.lineno, start, end, kind, before, text, function))
    return sorted(found, key=lambda each: (each.start, each.end, each.kind, each.after))


Change = tuple[ast.expr | ast.stmt, str, str]


def _visit(node: ast.AST) -> Iterator[Change]:
    """Yield (node, kind, text to put in its place) of a node and all below it."""
    yield from _changes(node)
    for child in _children(node):
        yield from _visit(child)


def _children(node: ast.AST) -> list[ast.AST]:
    """Return the children of a node that carry behavior."""
    skipped: list[ast.AST | None] = []
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Assert() | ast.Raise() | ast.JoinedStr():
            return []
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return []
        case ast.FunctionDef():
            skipped = [node.returns, *node.decorator_list]
        case ast.ClassDef():
            skipped = [*node.decorator_list]
        case ast.arg():
            return []
        case ast.AnnAssign():
            skipped = [node.annotation]
        case ast.Assign(value=ast.Subscript() as alias) if _is_type(alias):  # Kernel = Callable[..., Tensor]
            return []
        case ast.Call(func=ast.Name(id="opt")):
            return [
                keyword for keyword in node.keywords if keyword.arg in ("ge", "gt", "le", "lt", "resumable")
            ]
        case ast.Call(func=ast.Name(id="cast" | "TypeVar")):
            return []
    return [child for child in ast.iter_child_nodes(node) if child not in skipped]


def _is_type(node: ast.Subscript) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in (
        "Callable",
        "Literal",
        "dict",
        "tuple",
        "list",
    )


def _changes(node: ast.AST) -> Iterator[Change]:
    """Yield the mutations of one node itself."""
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in COMPARISONS:
            yield node, "comparison", _with(node, ops=[COMPARISONS[type(operator)]()])
        case ast.BinOp() if type(node.op) in ARITHMETIC and not _is_text(node):
            yield node, "arithmetic", _with(node, op=ARITHMETIC[type(node.op)]())
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node, "sign", ast.unparse(node.operand)
        case ast.BoolOp():
            yield node, "boolean", _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        case ast.Constant(value=bool()):
            yield node, "constant", str(not node.value)
        case ast.Constant(value=int() | float()):
            yield node, "constant", repr(node.value + 1)
        case ast.IfExp():
            yield node.test, "condition", f"not ({ast.unparse(node.test)})"
        case ast.If() if not isinstance(node.test, ast.Compare) and ast.unparse(node.test) != "TYPE_CHECKING":
            yield node.test, "condition", f"not ({ast.unparse(node.test)})"
        case ast.Return() if node.value is not None and ast.unparse(node.value) != "None":
            yield node, "return", "return None"
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Raise():
            yield node, "removed", "pass"
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute()]):
            yield node, "removed", "pass"


def _with(node: ast.expr, **fields: object) -> str:
    """Return the text of an expression with other fields."""
    values = {name: getattr(node, name) for name in node._fields}
    return ast.unparse(type(node)(**{**values, **fields}))


def _is_text(node: ast.BinOp) -> bool:
    """Return whether `+` or `%` joins strings, as far as the source shows."""
    sides = (node.left, node.right)
    return any(isinstance(each, ast.JoinedStr) for each in sides) or any(
        isinstance(each, ast.Constant) and isinstance(each.value, str) for each in sides
    )
