"""Studies as the command line makes them."""

from __future__ import annotations

from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from emoexp.cli.main import register_schemas
from emoexp.config import Config
from emoexp.places import CONF
from emoexp.study.study import Study


def composed(experiment: str, store: Path, *overrides: str, run_dir: Path | None = None) -> Study:
    """The study of `experiment=... scale=smoke` and further overrides."""
    register_schemas()
    names = [
        f"experiment={experiment}",
        "scale=smoke",
        f"artifacts={store}",
        f"run_dir={run_dir or store}",
    ]
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        cfg = compose("config", [*names, *overrides])
    config: Config = OmegaConf.to_object(cfg)  # type: ignore[assignment]
    return Study(config)
