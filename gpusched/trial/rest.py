"""What of a script stands behind its search(), judged by its text.

Pure: text in, a line number out.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

#: Calls that are not missed: `gpusched run` shows as much itself.
_SHOWN_ANYWAY = ("results_summary",)
#: They define and do nothing.
_IDLE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Pass)


def first_line_behind(source: str | bytes, lines: Sequence[int]) -> int | None:
    """Where the script would have gone on; None where nothing is left.

    `lines` are those at which its frames stand when it has come to search(), the outermost first.
    """
    tree = ast.parse(source)
    behind = (statement for line in reversed(lines) for statement in _behind(tree.body, line))
    return next((statement.lineno for statement in behind if _does_something(statement)), None)


def _behind(body: Sequence[ast.stmt], line: int) -> list[ast.stmt]:
    """The statements that follow this line in the block that holds it, and in the blocks around that one."""
    for number, statement in enumerate(body):
        if statement.lineno <= line <= (statement.end_lineno or statement.lineno):
            inner = [each for block in _blocks(statement) for each in _behind(block, line)]
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                return inner  # What follows the definition is the business of whoever calls it.
            return [*inner, *body[number + 1 :]]
    return []


def _blocks(statement: ast.stmt) -> list[list[ast.stmt]]:
    blocks = [getattr(statement, name, []) for name in ("body", "orelse", "finalbody")]
    blocks += [handler.body for handler in getattr(statement, "handlers", [])]
    return blocks + [case.body for case in getattr(statement, "cases", [])]


def _does_something(statement: ast.stmt) -> bool:
    if isinstance(statement, _IDLE):
        return False
    if not isinstance(statement, ast.Expr):
        return True
    call = statement.value
    if isinstance(call, ast.Constant):
        return False
    return not (isinstance(call, ast.Call) and getattr(call.func, "attr", "") in _SHOWN_ANYWAY)
