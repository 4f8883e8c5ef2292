"""The dead links of a built site: pages, anchors, images and other files that do not exist. Nothing is requested."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    """The links of one page, and the anchors that links may lead to."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what an element links to, and what leads to it."""
        for name, value in attrs:
            if value and (name == "id" or (name == "name" and tag == "a")):
                self.anchors.add(value)
            elif value and name in ("href", "src"):
                self.links.append(value)


def dead_links(site: Path, url: str = "") -> list[str]:
    """Return each link of the site in this directory that leads nowhere; ``url`` is where the site is published."""
    site = site.resolve()
    pages = {file: _Page(file) for file in sorted(site.rglob("*.html"))}
    return [
        f"{file.relative_to(site)}: {link}"
        for file, page in pages.items()
        for link in dict.fromkeys(page.links)
        if _is_dead(link, file, site, url, pages)
    ]


def _is_dead(link: str, file: Path, site: Path, url: str, pages: dict[Path, _Page]) -> bool:
    """Return whether a link leads nowhere within the site; those to elsewhere are left alone."""
    base = urlsplit(url).path.rstrip("/")
    parts = urlsplit(f"{base}/{link.removeprefix(url)}" if url and link.startswith(url) else link)
    if parts.scheme or parts.netloc:
        return False
    path = unquote(parts.path)
    target = file
    if path.startswith("/"):
        target = site / path.removeprefix(base).lstrip("/")
    elif path:
        target = file.parent / path
    target = target.resolve()
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return True
    return bool(parts.fragment) and target in pages and unquote(parts.fragment) not in pages[target].anchors
