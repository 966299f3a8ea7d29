"""A built wheel in a clean environment runs the main job's code: conf, experiments, models and
packs travel inside it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

from tests.conftest import REPOSITORY


def test_the_wheel_runs_from_a_clean_environment(tmp_path: Path) -> None:
    """The environment is new; its dependencies are this one's, lent through a .pth file, since no
    network may be needed."""
    subprocess.run(
        (
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "--outdir",
            tmp_path,
            REPOSITORY,
        ),
        check=True,
        capture_output=True,
    )
    wheel = next(tmp_path.glob("*.whl"))
    names = zipfile.ZipFile(wheel).namelist()
    assert {n.split("/")[0] for n in names if ".dist-info" not in n} == {"emoexp"}, (
        "nothing but emoexp may land in site-packages"
    )
    ours = {
        file.relative_to(REPOSITORY)
        for folder in ("emoexp", "conf", "experiments")
        for file in (REPOSITORY / folder).rglob("*")
        if file.is_file() and not {"__pycache__", "local"} & set(file.parts)
    }
    carried = {str(f if f.parts[0] == "emoexp" else Path("emoexp") / f) for f in ours}
    assert len(carried) > 200 and carried <= set(names)
    entry = next(n for n in names if n.endswith("entry_points.txt"))
    assert "emoexp = emoexp.__main__:main" in zipfile.ZipFile(wheel).read(entry).decode()

    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    site = (
        home / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    )
    zipfile.ZipFile(wheel).extractall(site)
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {
        "EMOEXP_ARTIFACTS": str(tmp_path / "artifacts")
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (home / "bin" / "python", *arguments),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=environment,
            timeout=600,
        )

    where = run("-c", "import emoexp.experiments.verify as v; print(v.__file__)")
    assert Path(where.stdout.strip()).is_relative_to(site), where.stderr
    done = run("-m", "emoexp", "experiment=implicit", "scale=smoke", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "run" / "result.json").exists()
