"""Weights & Biases as a mirror of result.json: nothing is computed here, and nothing is read back
from it."""

from __future__ import annotations

import hashlib
import json
import netrc
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import urlsplit

import pandas as pd

from emoexp.config import LoggerConfig, LoggerKind, LoggerMode, resolve_layer
from emoexp.errors import EmoexpError, one_line
from emoexp.stats.criteria import COUNTS
from emoexp.store.distributed import rank

if TYPE_CHECKING:
    import wandb

FINDINGS = ("status", "metrics", "verdicts", "notes", "error", "traceback")
"""What of a record is a result; the rest says what the result is of, and goes into W&B's config
under `origin`."""
BY_LAYER = ("V*", "metrics/*", "verdicts/*")
"""Keys that W&B draws against `layer`: a run is one point, so steps would say nothing."""
Mode = Literal["online", "offline", "disabled", "shared"]
Row = Mapping[str, Any]


class Tracker:
    """Where a finished record is shown: nowhere, as it stands here (`logger=none`). `row` has plain
    numbers and strings under keys like `V3/value`."""

    def show(self, name: str, origin: Row, row: Row, *, whole: bool) -> None: ...

    def attach(self, tables: Sequence[Path], figures: Sequence[Path]) -> None: ...

    def fail(self) -> None: ...


@dataclass
class WandbTracker(Tracker):
    """One W&B run."""

    run: wandb.Run
    failed: bool = field(default=False, init=False)

    def show(self, name: str, origin: Row, row: Row, *, whole: bool) -> None:
        """The summary holds `row` in any case; only a `whole` run becomes a point of the curves
        over layers."""
        self.run.name = name
        self.run.config.update({"origin": dict(origin)}, allow_val_change=True)
        self.run.summary.update(dict(row))
        if whole:
            self.run.log(dict(row))

    def attach(self, tables: Sequence[Path], figures: Sequence[Path]) -> None:
        import wandb

        media: dict[str, Any] = {f"tables/{path.stem}": table_of(path) for path in tables}
        media |= {f"figures/{path.stem}": wandb.Image(str(path)) for path in figures}
        if media:
            self.run.log(media)

    def fail(self) -> None:
        self.failed = True


def table_of(path: Path) -> wandb.Table:
    """A CSV as a W&B table. An empty cell is missing; "NA" or "null" in a cell is a word."""
    import wandb

    frame = pd.read_csv(path, keep_default_na=False, na_values=[""])
    return wandb.Table(
        dataframe=frame.astype(object).where(frame.notna(), None), allow_mixed_types=True
    )


@contextmanager
def open_tracker(config: LoggerConfig, run: dict[str, Any]) -> Iterator[Tracker]:
    """The tracker of one run, closed however the block ends; an exception marks the W&B run as
    failed.

    Args:
        config: `logger=none` gives a tracker that shows nothing, as does any but the first process
            of a torchrun launch.
        run: `directory` (its hash is the run's id: a requeued run goes on where it was), `group`
            (see `group_of`), `experiment`, `model`, `layer` as configured, and `config`, the
            resolved configuration.

    Raises:
        EmoexpError: wandb is not installed, or `online` is wanted and not to be had.
    """
    silent = config.kind is LoggerKind.none or rank() > 0
    mode, why = (cast(Mode, "disabled"), "") if silent else choose_mode(config)
    if mode == "disabled":
        yield Tracker()
        return
    tracker, why = start(config, run, mode, why)
    try:
        yield tracker
    except BaseException as error:
        if isinstance(error, SystemExit):  # submitit's, of a preempted job that is queued again
            tracker.run.mark_preempting()
        tracker.fail()
        raise
    finally:
        tracker.run.finish(exit_code=int(tracker.failed))
        if tracker.run.offline:
            folder = shlex.quote(tracker.run.settings.wandb_dir)
            tell(f"kept offline ({why}); upload it with: wandb sync {folder}")


def start(
    config: LoggerConfig, run: Mapping[str, Any], mode: Mode, why: str
) -> tuple[WandbTracker, str]:
    """Opens the W&B run; returns it, and why it is offline if it is.

    Unless `online` is wanted, a server that refuses means offline.

    Raises:
        EmoexpError: `online` is wanted, and the server refuses.
    """
    import wandb

    directory = Path(run["directory"]).absolute()
    if mode == "offline":
        # of a run that was killed and queued again: uploaded both, one would overwrite the other
        for earlier in directory.glob(f"wandb/offline-run-*-{run_id(directory)}"):
            shutil.rmtree(earlier)
    try:
        opened = wandb.init(
            project=config.project,
            entity=config.entity,
            mode=mode,
            dir=str(directory),
            group=run["group"],
            job_type=run["experiment"],
            name=run_name(run["model"], run["layer"]),
            id=run_id(directory),
            resume="allow",
            reinit="finish_previous",
            config=without_secrets(run["config"], secrets()),
            settings=run_settings(),
        )
    except wandb.Error as error:
        if config.mode is LoggerMode.online or mode == "offline":
            raise EmoexpError(
                f"W&B does not take the run ({one_line(error)}): see logger.project and"
                " logger.entity, or logger.mode=offline"
            ) from error
        wandb.teardown()  # else the id counts as taken
        return start(config, run, "offline", one_line(error))
    opened.define_metric("layer", hidden=True)
    for keys in BY_LAYER:
        opened.define_metric(keys, step_metric="layer")
    return WandbTracker(opened), why


def run_settings() -> wandb.Settings:
    """Returns W&B's settings: nothing is printed, and nothing that may hold a secret is sent."""
    import wandb

    return wandb.Settings(
        silent=True,
        console="off",  # a progress bar through a terminal emulator costs time; SLURM keeps the log
        disable_code=True,
        disable_git=True,  # result.json has commit and dirty flag; a remote's URL may hold a token
        save_code=False,
        x_disable_meta=True,  # the command line may hold a secret; provenance is in the record
        x_save_requirements=False,
        symlink=False,  # `wandb sync` takes the folder, and would meet the run twice
        finish_timeout=300,  # so long a GPU waits for an upload; `wandb sync` uploads what is left
    )


def choose_mode(config: LoggerConfig) -> tuple[Mode, str]:
    """W&B's mode, and for `offline` the reason in words. Raises as `open_tracker` does."""
    try:
        import wandb
    except ImportError as error:
        raise EmoexpError(
            "logger=wandb needs the package wandb: pip install 'emoexp[wandb]', or logger=none"
        ) from error

    # silent, else it says where it found the key
    settings = wandb.setup(settings=wandb.Settings(silent=True)).settings
    if config.mode is LoggerMode.offline:
        return "offline", "logger.mode=offline"
    # WANDB_MODE, or `wandb offline` in this directory
    if config.mode is None and settings.mode != "online":
        return cast(Mode, settings.mode), f"W&B's own mode is {settings.mode}"
    if not has_key():
        if config.mode is LoggerMode.online:
            raise EmoexpError(
                "logger.mode=online needs a W&B key: set WANDB_API_KEY or run wandb login, or"
                " logger.mode=null"
            )
        return "offline", "there is no W&B key"
    if config.mode is None and not answers(settings.base_url):
        return "offline", f"{settings.base_url} does not answer"
    return "online", ""


def has_key() -> bool:
    """Whether W&B would find a key where it looks (environment, settings, netrc). W&B itself asks
    at the terminal if not."""
    import wandb

    settings = wandb.setup().settings
    named = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")
    if settings.api_key or any(os.environ.get(name) for name in named):
        return True
    try:
        keys = netrc.netrc(os.environ.get("NETRC", Path("~/.netrc").expanduser()))
        return keys.authenticators(urlsplit(settings.base_url).netloc) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def answers(base_url: str) -> bool:
    """Whether a server answers there at all, be it with an error."""
    import httpx

    try:
        return bool(httpx.head(base_url, timeout=5).status_code)
    except httpx.HTTPError:
        return False


def mirror(tracker: Tracker, record: Mapping[str, Any], directory: Path) -> None:
    """Shows a record and the tables and figures beside it. W&B's trouble is one line, since
    result.json is whole without it."""
    if type(tracker) is Tracker:
        return
    try:
        known = secrets()
        origin = without_secrets({k: v for k, v in record.items() if k not in FINDINGS}, known)
        tracker.show(
            run_name(record["model"], record["layer"]),
            origin,
            without_secrets(summary(record), known),
            whole=record["status"] == "success",
        )
        tracker.attach(sorted(directory.glob("*.csv")), sorted(directory.glob("*.png")))
        if record["status"] == "error":
            tracker.fail()
    except Exception as error:
        if not type(error).__module__.startswith("wandb") and not isinstance(error, OSError):
            raise
        tell(f"not mirrored ({one_line(error)}); result.json is whole")


def summary(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a record under flat keys that are the same for every run, such as `V3/value`.

    `V3/passed` is 0 or 1, so that it can be drawn. What was not measured has no key. `share` is a
    count over its n, by which models with different sets can be compared.
    """
    row = {key: record[key] for key in ("status", "model", "experiment")}
    row |= {key: record[key] for key in ("span", "seed") if key in record}
    row |= place_of(record)
    verdicts = record["verdicts"]
    for verdict in verdicts:
        for key, value in verdict.items():
            if key not in ("id", "name", "comparison") and value is not None:
                row[f"{verdict['id']}/{key}"] = int(value) if isinstance(value, bool) else value
        if verdict["id"] in COUNTS:
            row[f"{verdict['id']}/share"] = verdict["value"] / verdict["n"]
    if verdicts:
        for key in ("passed", "informative"):
            row[f"verdicts/{key}"] = sum(bool(v[key]) for v in verdicts)
        row["verdicts/both"] = sum(v["passed"] and v["informative"] for v in verdicts)
        row["verdicts/n"] = len(verdicts)
    numbers = record["metrics"] | record.get("comparison", {})
    row |= {f"metrics/{name}": value for name, value in numbers.items()}
    # empty too: a rerun clears what an earlier run wrote there
    return row | {"notes": "\n".join(record["notes"]), "error": record.get("error", "")}


def place_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the layer, its depth and whether it is at two thirds, as far as they are known."""
    layer, n_layers = record["layer"], record.get("n_layers")
    if layer is None:
        return {}
    if n_layers is None:
        return {"layer": layer}
    two_thirds = int(layer == resolve_layer("auto", n_layers))
    return {"layer": layer, "depth": layer / n_layers, "two_thirds": two_thirds}


def run_name(model: str, layer: Any) -> str:
    return model if layer is None else f"{model}-L{layer}"


def run_id(directory: Path) -> str:
    """The same for the same directory: W&B then continues the run that a preempted job left."""
    return hashlib.sha256(str(directory.absolute()).encode()).hexdigest()[:16]


def group_of(sweep: Path) -> str:
    """The last two parts of a sweep's directory: `2026-11-20_12-00-00`, since times alone come
    again every day."""
    return "_".join(sweep.absolute().parts[-2:])[-128:]


def secrets() -> tuple[str, ...]:
    """Values that must not leave the machine: those of the environment's keys and tokens, and the
    hub's token."""
    from huggingface_hub import get_token

    secret = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL")
    named = [value for name, value in os.environ.items() if secret.search(name.upper())]
    found = {v for v in (*named, get_token() or "") if len(v) >= 8 and not v.startswith("/")}
    return tuple(sorted(found, key=len, reverse=True))


def without_secrets(content: Any, known: Sequence[str]) -> Any:
    """A JSON value without the secrets in `known` and without the user and password of any URL."""
    text = json.dumps(content, ensure_ascii=False)
    for secret in known:
        text = text.replace(json.dumps(secret, ensure_ascii=False)[1:-1], "***")
    return json.loads(re.sub(r'(?<=://)[^/@\s"]+@', "***@", text))


def tell(text: str) -> None:
    sys.stderr.write(f"W&B: {text}\n")
