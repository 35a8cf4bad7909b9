"""Renders Markdown to HTML, one step per document, with markdown-it-py on the interpreter lane."""

import re

from markdown_it import MarkdownIt

from laneway import Workflow, task


@task(lane="interpreter", each="documents", batch=8)
def pages(documents: dict[str, str]) -> dict[str, object]:
    """One document as HTML, with its headings."""
    parser = MarkdownIt("commonmark").enable("table")
    tokens = parser.parse(documents["text"])
    headings = [
        tokens[index + 1].content for index, token in enumerate(tokens) if token.type == "heading_open"
    ]
    html = parser.renderer.render(tokens, parser.options, {})
    return {"name": documents["name"], "html": html, "headings": headings}


@task
def contents(pages: list[dict[str, object]]) -> list[str]:
    """The table of contents over all pages."""
    return [f"{page['name']}: {heading}" for page in pages for heading in _texts(page["headings"])]


@task
def words(pages: list[dict[str, object]]) -> int:
    """How many words the pages have."""
    return sum(len(re.sub(r"<[^>]+>", " ", str(page["html"])).split()) for page in pages)


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


flow = Workflow("markdown-pages", [pages, contents, words])
