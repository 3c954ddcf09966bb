"""HTML for the output of a cell: inline styles alone, and the notebook's own colours. Pure."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from gpusched.printable import clean, plain_lines

_CELL = "padding:1px 10px 1px 0;border:none;white-space:nowrap"


def text(given: object, style: str = "") -> str:
    """Text on one line, whoever wrote it."""
    inner = html.escape(clean(str(given)))
    return f'<span style="{style}">{inner}</span>' if style else inner


def bold(given: object) -> str:
    return text(given, "font-weight:bold")


def faint(given: object) -> str:
    return text(given, "opacity:.65")


def line(*parts: str) -> str:
    return f"<div>{' '.join(part for part in parts if part)}</div>"


def bar(share: float, width: str = "16em") -> str:
    """How much is done, 0 … 1."""
    done = 100 * min(1.0, max(0.0, share))
    outer = f"display:inline-block;width:{width};height:.6em;border:1px solid #8888;vertical-align:middle"
    inner = f"width:{done:.1f}%;height:100%;background:#2a9d8f"
    return f'<span style="{outer}"><span style="display:block;{inner}"></span></span>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[bool] = ()) -> str:
    """Cells are HTML; those of the columns marked `right` are aligned at the right."""
    sides = [f"text-align:{'right' if at < len(right) and right[at] else 'left'};{_CELL}" for at in range(len(heads))]
    head = "".join(f'<th style="{side}">{text(name)}</th>' for side, name in zip(sides, heads, strict=True))
    body = "".join(
        "<tr>" + "".join(f'<td style="{side}">{cell}</td>' for side, cell in zip(sides, row, strict=True)) + "</tr>"
        for row in rows
    )
    return (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse;border:none;font-size:inherit">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def block(lines: Iterable[str]) -> str:
    """Lines as they stand, such as a log's."""
    inner = html.escape(plain_lines("\n".join(lines)))
    return f'<pre style="margin:4px 0;max-height:16em;overflow:auto">{inner}</pre>'


def page(*parts: str) -> str:
    inner = "".join(part for part in parts if part)
    return f'<div style="font-size:90%;line-height:1.5">{inner}</div>'
