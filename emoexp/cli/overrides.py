"""The overrides of a command line, checked against the configuration's dataclasses before Hydra
composes anything: names, choices of groups, sweeps, and the quoting of texts."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, get_origin

from hydra.conf import HydraConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, ValueType
from hydra.errors import HydraException
from hydra.main import get_args_parser
from omegaconf import DictConfig, OmegaConf

from emoexp.cli.schema import Setting, nearest, settings
from emoexp.cli.sweep import each, swept
from emoexp.cli.usage import defaults, options
from emoexp.errors import EmoexpError, one_line, require, shortened

GROUPS = (
    *("experiment", "model", "preset", "emotions", "stimuli"),
    *("stories", "span", "scale", "launcher", "logger"),
)
_PARTS = re.compile(r"(?P<sign>\+\+|\+|~)?(?P<key>[^=]*)(?P<equals>=?)(?P<value>.*)", re.DOTALL)
_MERGING = re.compile(r"Error merging override (.*)", re.DOTALL)
_MISSING = re.compile(r"Missing mandatory value: (\w+\.\w+)")
_OVERRIDING = re.compile(r"Could not (?:override|delete)[^']*'([^']+)'")


@dataclass(frozen=True)
class CommandLine:
    """A command line, taken apart.

    Attributes:
        overrides: as Hydra takes them, each checked.
        flags: Hydra's own, with their values.
        multirun: whether they ask for a sweep.
        runs: whether anything is run, or only shown.
    """

    overrides: list[str]
    flags: list[str]
    multirun: bool
    runs: bool

    @classmethod
    def of(cls, arguments: Sequence[str]) -> CommandLine:
        """Reads a command line.

        Raises:
            EmoexpError: a flag, a name, a choice or a sweep that is wrong.
        """
        parser = get_args_parser()
        parser.allow_abbrev = False  # --experiment is not short for --experimental-rerun
        parser.error = _refuse_flag
        given, unknown = parser.parse_known_intermixed_args(list(arguments))
        if unknown:
            bare = unknown[0].lstrip("-")
            hint = f": a setting has no dashes: {bare}" if "=" in bare else ""
            raise EmoexpError(f"unknown flag {unknown[0]}{hint} (python -m emoexp --help)")
        flags = [a for a in arguments if a not in given.overrides]
        shown = given.cfg or given.info or given.help or given.hydra_help or given.shell_completion
        line = cls(list(given.overrides), flags, bool(given.multirun), not shown)
        return line if given.shell_completion else line._checked()

    def values(self) -> list[list[str]]:
        """Returns for each override those that its sweep makes of it, or itself."""
        return [[a] if a.startswith("~") else list(each(_parsed(a))) for a in self.overrides]

    def _checked(self) -> CommandLine:
        overrides = group_layers(self.overrides, self.multirun)
        known = settings(_experiments(overrides))
        checked = [_checked(override, known, self.multirun) for override in overrides]
        return CommandLine(checked, self.flags, self.multirun, self.runs)


def _refuse_flag(message: str) -> NoReturn:
    raise EmoexpError(f"{message} (python -m emoexp --help)")


def _experiments(overrides: Iterable[str]) -> list[str]:
    """Returns the experiments that a command line chooses, those that do not exist left out."""
    pairs = (a.lstrip("+").partition("=") for a in overrides if "=" in a)
    chosen = {key: value for key, _, value in pairs}
    known, text = options("experiment"), chosen.get("experiment", defaults()["experiment"])
    found = [name for name in re.findall(r"\w+", text) if name in known]
    return found or (known if "*" in text else [defaults()["experiment"]])


def _checked(argument: str, known: dict[str, Setting], multirun: bool) -> str:
    """Returns one override as Hydra is to take it.

    Raises:
        EmoexpError: it is none, or names or gives what does not exist.
    """
    parts = _PARTS.fullmatch(argument)
    assert parts is not None
    sign, key, value = parts["sign"] or "", parts["key"].strip(), parts["value"]
    if key.startswith(("hydra.", "hydra/")):
        return _hydras(argument, key, value, multirun)
    if not parts["equals"] and sign != "~":
        _refuse_bare(argument)
    above = (key.rsplit(".", n)[0] for n in range(1, key.count(".") + 1))
    in_mapping = any(_is_mapping(known.get(name)) for name in above)
    if key not in (*GROUPS, "local") and key not in known and not in_mapping:
        _refuse_name(key, known)
    require(
        sign != "~",
        f"{argument}: a setting is not taken out; leave it out of the command, or give {key}="
        "another value",
    )
    if in_mapping or _is_mapping(known.get(key)):
        _parsed(f"{key}={value}", known.get(key))
        return f"++{key}={value}"
    if key in (*GROUPS, "local"):
        override = _parsed(f"{key}={value}")
        _check_choices(override, key)
        _check_sweep(override, multirun)
        return f"{key}={value}"
    if known[key].is_text and not value.strip("'\" "):
        raise EmoexpError(f"{key}= is empty: give {known[key].allowed}, or leave it out")
    text = _as_text(key, value, multirun) if known[key].is_text else f"{key}={value}"
    _check_sweep(_parsed(text, known[key]), multirun, known[key])
    return text


def _hydras(argument: str, key: str, value: str, multirun: bool) -> str:
    """Returns a setting of Hydra's; a folder is quoted as a text, and its ~ is the home directory,
    which shells do not see behind a name."""
    top = key.removeprefix("hydra.").partition(".")[0]
    if key.startswith("hydra.") and top not in HydraConf.__dataclass_fields__:
        _refuse_name(key, {})
    is_folder = key in ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")
    return _as_text(key, os.path.expanduser(value), multirun) if is_folder else argument


def _is_mapping(setting: Setting | None) -> bool:
    return setting is not None and get_origin(setting.type) is dict


def _refuse_bare(argument: str) -> NoReturn:
    """Raises EmoexpError for an argument that is not name=value."""
    group = next((g for g in GROUPS if argument in options(g)), None)
    hint = f": did you mean {group}={argument}?" if group else ""
    if set(argument) & set("{}[]"):
        hint = ": quote a value with blanks, for the shell: 'stories.columns={text: body}'"
    elif not hint:
        hint = ", without blanks round the =" if argument else ""
    raise EmoexpError(f"{argument!r} is not name=value{hint} (python -m emoexp --help)")


def _refuse_name(key: str, known: dict[str, Setting]) -> NoReturn:
    """Raises EmoexpError for a setting that does not exist, with the nearest that does."""
    if key == "run_dir":
        raise EmoexpError("run_dir is set by hydra.run.dir=<folder>")
    group = key.rpartition(".")[0]
    names = [name for name in (*GROUPS, *known) if name != group]
    beside = [name for name in names if name.rpartition(".")[0] in ("", group)]
    near = None if key.startswith("hydra") else nearest(key, beside) or nearest(key, names)
    others = [s.rpartition(".")[2] for s in known if s.rpartition(".")[0] == group]
    if near:
        hint = f"did you mean {near}?"
    elif others and group:
        hint = f"{group} has {', '.join(others)}"
    elif group == "experiment":
        hint = "this experiment has no settings of its own"
    else:
        hint = f"python -m emoexp --cfg {'hydra' if group.startswith('hydra') else 'job'} shows all"
    raise EmoexpError(f"unknown setting {key!r}: {hint}")


def _as_text(key: str, value: str, multirun: bool) -> str:
    """Returns `key=value` such that a text arrives as it was written: quoted where Hydra would take
    it for a number, a truth value or a sweep, or could not read it. `null`, what is quoted already
    and an interpolation stay as they are."""
    plain = f"{key}={value}"
    if value.lower() == "null" or "${" in value or value[:1] in ("'", '"'):
        return plain
    try:
        override = OverridesParser.create().parse_override(plain)
    except HydraException:
        return f"{key}={_quoted(value)}"
    if override.value_type is ValueType.ELEMENT:
        return plain if override.value() == value or "\\" in value else f"{key}={_quoted(value)}"
    if not multirun:
        return f"{key}={_quoted(value)}" if "," in value else plain
    if override.value_type is ValueType.SIMPLE_CHOICE_SWEEP and not set(value) & set("'\"[{(\\"):
        parts = (_as_text(key, part, True) for part in value.split(","))
        return f"{key}={','.join(part.partition('=')[2] for part in parts)}"
    return plain


def _quoted(value: str) -> str:
    """Returns a text in Hydra's quotes."""
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"


def _parsed(text: str, setting: Setting | None = None) -> Override:
    """Parses one override. Raises EmoexpError where Hydra's grammar does not allow it."""
    try:
        return OverridesParser.create().parse_override(text)
    except ValueError:  # Python's, of a number of more than 4,300 digits
        raise EmoexpError(f"{shortened(text)}: a number of that many digits is not read") from None
    except HydraException:
        key, _, value = text.partition("=")
        if value.startswith("="):
            raise EmoexpError(f"{text}: one = is enough: {key}={value.lstrip('=')}") from None
        if value.count("{") + value.count("[") > value.count("}") + value.count("]"):
            what = "the shell has split it at a blank"
        else:
            what = f"must be {setting.allowed}" if setting else "cannot be read"
        how = f": put all of it in quotes, '{key}=...'"
        if setting is not None and get_origin(setting.type) is list:
            how += f", and each text in quotes of its own: \"{key}=['a b','ä=b']\""
        raise EmoexpError(f"{text}: {what}{how}") from None


def _check_choices(override: Override, group: str) -> None:
    """Raises EmoexpError for an option that a group does not have."""
    allowed, value = options(group), override.value()
    chosen: Any = value.list if hasattr(value, "list") else [value]
    if isinstance(value, Glob):
        return
    for choice in chosen:
        if not isinstance(choice, str) or choice not in allowed:
            shown = "null" if choice is None else choice
            near = nearest(choice, allowed) if isinstance(choice, str) and choice else None
            hint = f"did you mean {near}? Or " if near else ""
            raise EmoexpError(f"unknown {group} {shown!r}: {hint}choose from {', '.join(allowed)}")
    if group == "launcher" and str(value).startswith(("slurm", "site_")):
        require(
            shutil.which("srun") is not None,
            f"launcher={value}: there is no srun here: start it on a cluster's login node, or take"
            " launcher=subprocess",
        )


def _check_sweep(override: Override, multirun: bool, setting: Setting | None = None) -> None:
    """Raises EmoexpError for a sweep without --multirun, over nothing, or twice over one value."""
    if not override.is_sweep_override():
        return
    line, key = override.input_line, override.key_or_group
    if not multirun:
        may_be_list = setting is not None and (
            setting.type is Any or get_origin(setting.type) is list
        )
        is_list = may_be_list and "," in str(line)
        as_list = f", or write a list: {key}=[...]" if is_list else ""
        raise EmoexpError(f"{line} is a sweep: add --multirun{as_list}")
    if override.is_interval_sweep():
        raise EmoexpError(f"{line}: an interval has no steps: write {key}=range(start,stop,step)")
    values = swept(override)
    require(bool(values), f"{line} names no value, so there is nothing to run")
    twice = sorted({v for v in values if values.count(v) > 1})
    require(not twice, f"{line} names {', '.join(twice)} twice")


def refuse_launcher(overrides: Iterable[str]) -> None:
    """Raises EmoexpError for a launcher of jobs without --multirun, where Hydra would run here."""
    for override in overrides:
        key, _, value = override.partition("=")
        here = {"launcher": "local", "hydra/launcher": "basic"}.get(key, value)
        require(
            value == here,
            f"{override} starts the jobs of a sweep, without --multirun the run would go on here:"
            f" python -m emoexp --multirun {override} ...",
        )


def group_layers(overrides: list[str], multirun: bool) -> list[str]:
    """`layers_per_job=4` turns a sweep over layers into one over lists of them, each of which loads
    its model once.

    Raises:
        EmoexpError: it is not a number, or there is no sweep over layers.
    """
    name = "layers_per_job="
    if not (given := [a for a in overrides if a.startswith(name)]):
        return overrides
    size = given[-1].removeprefix(name)
    over_layers = [a for a in overrides if a.startswith("layer=")]
    whole = size.isdigit() and int(size) >= 1
    require(whole, f"layers_per_job={size}: must be a whole number, at least 1")
    override = _parsed(over_layers[-1]) if over_layers else None
    if override is None or not override.is_sweep_override() or not multirun:
        example = "--multirun 'layer=range(10,30)' layers_per_job=5"
        raise EmoexpError(f"layers_per_job needs a sweep over layers: {example}")
    _check_sweep(override, multirun)
    layers, n = swept(override), int(size)
    jobs = (f"[{','.join(layers[i : i + n])}]" for i in range(0, len(layers), n))
    rest = (a for a in overrides if not a.startswith((name, "layer=")))
    return [*rest, f"layer={','.join(jobs)}"]


def explained(error: BaseException, overrides: Iterable[str]) -> EmoexpError:
    """Returns Hydra's or OmegaConf's error in our words: the setting, and what it may be."""
    text, known = one_line(error), settings(_experiments(overrides))
    if found := _MERGING.match(str(error)):
        argument = found[1].lstrip("+~")
        key, _, value = argument.partition("=")
        if key in known:
            return EmoexpError(f"{key}={value}: must be {known[key].allowed}")
    elif found := _MISSING.search(text):
        return _not_set(found[1], known)
    elif found := _OVERRIDING.search(text):
        try:
            _refuse_name(found[1], known)
        except EmoexpError as ours:
            return ours
    return error if isinstance(error, EmoexpError) else EmoexpError(text)


def refuse_missing(cfg: DictConfig, overrides: Iterable[str]) -> None:
    """Raises EmoexpError where a setting that has no default is not given."""
    known = settings(_experiments(overrides))
    for name in sorted(OmegaConf.missing_keys(cfg)):
        if name in known:
            raise _not_set(name, known)


def _not_set(name: str, known: dict[str, Setting]) -> EmoexpError:
    return EmoexpError(f"{name} is not set: give {name}=... ({known[name].doc})")
