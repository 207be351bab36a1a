"""Hooks of mkdocs: formulas become MathML, which browsers draw without a script; links out of docs/ become plain text;
and no page may load anything from a network."""

from __future__ import annotations

import re
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

CODE = re.compile(r"(```.*?```|`[^`\n]+`)", re.DOTALL)
BLOCK = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
INLINE = re.compile(r"(?<![\\$\w])\$(?! )([^$\n]+?)(?<! )\$(?![\w$])")
LOADED = re.compile(r"""<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=["']?(https?:[^"' >]+)""")
OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./[^)]+\)")  # files of the repository, which the pages do not have


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Everything but code."""
    parts = CODE.split(markdown)
    return "".join(part if place % 2 else _prose(part) for place, part in enumerate(parts))


def _prose(text: str) -> str:
    text = BLOCK.sub(lambda match: f"\n\n<div>{convert(match[1].strip(), display='block')}</div>\n\n", text)
    text = INLINE.sub(lambda match: f"<span>{convert(match[1])}</span>", text)
    return OUTSIDE.sub(r"\1", text)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuses a page that would load anything from a network."""
    foreign = LOADED.findall(output)
    if foreign:
        raise PluginError(f"{page.file.src_uri} loads {', '.join(sorted(set(foreign)))}")
    return output
