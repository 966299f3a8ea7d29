"""Templates of the HTML pages; what they are given is escaped."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template


def environment(folder: Path) -> Environment:
    """Returns the environment of a folder's templates: texts are escaped, and an unknown variable
    raises UndefinedError."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def template(name: str) -> Template:
    """Returns a template of this folder."""
    return environment(Path(__file__).parent).get_template(name)
