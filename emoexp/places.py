"""Where the files of the project are: in a checkout, or inside an installed package."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent
CHECKOUT = PACKAGE.parent
DATA = PACKAGE / "data"
PACKS, MODELS, PUBLISHED, WORLD = (
    DATA / name for name in ("packs", "models", "published", "world")
)

STARTER = DATA / "stories" / "starter"


def _beside_or_inside(name: str) -> Path:
    """A folder that a wheel has inside the package, and a checkout beside it."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else CHECKOUT / name


CONF = _beside_or_inside("conf")
EXPERIMENTS = _beside_or_inside("experiments")
