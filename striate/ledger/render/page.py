"""What every page of striate shares: one file, one look, all text from outside escaped, nothing fetched."""

from __future__ import annotations

import jinja2

PALETTE = {
    "paper": "#fbfaf7",
    "ink": "#23282d",
    "quiet": "#666e76",
    "line": "#dcdad3",
    "accent": "#0b6b62",
}
"""The colours of a light page by their role."""


def environment(package: str = "striate.ledger.render") -> jinja2.Environment:
    """The template engine with the templates of `package`, which may extend `base.html`."""
    found = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [
                jinja2.PackageLoader(name)
                for name in dict.fromkeys((package, "striate.ledger.render"))
            ]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["palette"] = PALETTE
    return found
