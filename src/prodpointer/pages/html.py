"""What every HTML page shares: a template, one style, and a policy by which a browser sends no request.

A page needs no other file and no network. Whatever comes from a registry is escaped.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import TYPE_CHECKING, Any

from prodpointer._text import visible
from prodpointer.errors import ProdpointerError

if TYPE_CHECKING:
    from markupsafe import Markup

_PICTURES = {code: 0x2400 + code for code in range(32)} | {0x7F: 0x2421}
"""A picture of each control character, which HTML would drop or take for a space."""


def style_of(package: str, name: str) -> str:
    """Return the style that every page has, and after it the one that stands in a file beside a module."""
    return file_of("prodpointer.pages", "base.css") + file_of(package, name)


def file_of(package: str, name: str) -> str:
    """Return a file that stands beside the modules of a package."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def render(template: str, **values: Any) -> str:
    """Return the page with the values in their places; what is not marked as HTML is text.

    Raises
    ------
    ProdpointerError
        Jinja2, which comes with MLflow but not with ``mlflow-skinny``, is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise ProdpointerError(
            "The HTML page needs Jinja2, which is not installed.",
            next_step="Run: pip install 'prodpointer[report]'.",
        ) from error
    environment = Environment(autoescape=True, undefined=StrictUndefined, finalize=_readable)
    return environment.from_string(template).render(values) + "\n"


def _readable(value: object) -> object:
    """Return what is to be a text in the page as one; what is HTML already stays."""
    return for_page(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def for_page(text: str) -> str:
    """Return a text that every file can hold: control characters as pictures, others that are not seen escaped."""
    return visible(text.translate(_PICTURES))


def code(text: str) -> Markup:
    """Return what may be typed."""
    from markupsafe import Markup

    return Markup("<code>{}</code>").format(for_page(text))


def policy(*, style: str, script: str = "") -> str:
    """Return the policy by which a browser runs the page's own style and script, and sends no request."""
    parts = ["default-src 'none'", f"style-src '{_digest(style)}'"]
    parts += [f"script-src '{_digest(script)}'"] if script else []
    return "; ".join([*parts, "base-uri 'none'", "form-action 'none'"])


def _digest(text: str) -> str:
    """Return the digest of a text as a policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"
