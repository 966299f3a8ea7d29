"""A real SLURM of one node for the tests: Debian's packages, everything on loopback, everything
under one directory, no systemd.

munged, mariadbd, slurmdbd, slurmctld and slurmd run as children of the process that asks for them,
with a key, sockets and free ports of their own, so that it disturbs no other SLURM on the machine.
slurmdbd is not for show: submitit learns from `sacct` that a job died.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PACKAGES = (
    "munge",
    "slurm-client",
    "slurmctld",
    "slurmd",
    "slurmdbd",
    "mariadb-server-core",
    "mariadb-client-core",
)
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
BOUNDED = (
    "-qq",
    "-o",
    "Acquire::http::Timeout=10",
    "-o",
    "Acquire::https::Timeout=10",
    "-o",
    "Acquire::Retries=1",
    "-o",
    "DPkg::Lock::Timeout=30",
)
"""Options of apt-get: without a network it gives up, and the tests are skipped, after seconds."""
NO_SERVICES = Path("/usr/sbin/policy-rc.d")


class UnavailableError(Exception):
    """Why there can be no SLURM here, in one line."""


def output(*command: str, env: dict[str, str] | None = None, timeout: float = 60) -> str:
    """What a command printed.

    Raises:
        UnavailableError: it failed.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=os.environ | {"PATH": PATH} | (env or {}),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        raise UnavailableError(
            f"{' '.join(command[:3])} failed:"
            f" {(done.stderr.strip() or done.stdout.strip() or 'said nothing').splitlines()[-1]}"
        )
    return done.stdout


def install() -> None:
    """Brings in what is missing of PACKAGES, and keeps the packages' own services from starting.

    Raises:
        UnavailableError: not root, no apt, or the packages cannot be had in four minutes.
    """
    if shutil.which("dpkg-query") is None or shutil.which("apt-get") is None:
        raise UnavailableError("SLURM comes from Debian's packages here, and there is no apt-get")
    listed = subprocess.run(
        ("dpkg-query", "-W", "-f=${Package} ${db:Status-Status}\n", *PACKAGES),
        capture_output=True,
        text=True,
    ).stdout
    missing = [p for p in PACKAGES if f"{p} installed" not in listed.splitlines()]
    if not missing:
        return
    if os.geteuid() != 0:
        raise UnavailableError(f"not root, and not installed: {' '.join(missing)}")
    ours = not NO_SERVICES.exists()
    if ours:
        NO_SERVICES.write_text("#!/bin/sh\nexit 101\n")
        NO_SERVICES.chmod(0o755)
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        output("apt-get", "update", *BOUNDED, env=quiet, timeout=60)
        output(
            "apt-get",
            "install",
            *BOUNDED,
            "--yes",
            "--no-install-recommends",
            *missing,
            env=quiet,
            timeout=180,
        )
    finally:
        if ours:
            NO_SERVICES.unlink()


def free_ports(n: int) -> list[int]:
    """Ports of loopback that nobody listens on now."""
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Cluster:
    """`up()`, then commands with `environment` in theirs, then `down()`, also after an `up` that
    failed.

    The node claims eight cores, much memory and two GPUs, which are two terminals: enough for the
    requests of conf/launcher to be granted.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.user = pwd.getpwuid(os.geteuid()).pw_name
        self.daemons: list[subprocess.Popen[bytes]] = []
        self.environment = {"SLURM_CONF": str(root / "slurm.conf")}

    def up(self) -> None:
        """Raises UnavailableError with a reason."""
        install()
        host = socket.gethostname().split(".")[0]
        try:
            address = socket.gethostbyname(host)
        except OSError as error:
            raise UnavailableError(
                f"the host name {host!r} does not resolve: put it beside 127.0.0.1 in /etc/hosts"
            ) from error
        if not address.startswith("127."):
            raise UnavailableError(
                f"the host name {host!r} is {address}: SLURM would listen beyond loopback (put it"
                " beside 127.0.0.1 in /etc/hosts)"
            )
        for folder in ("state", "spool", "log", "mysql"):
            (self.root / folder).mkdir(parents=True)
        self.configure(host)
        self.munge()
        self.database()
        self.start("slurmctld", "-D")
        self.wait("slurmctld", lambda: "is UP" in self.ask("scontrol", "ping"))
        self.start("slurmd", "-D")
        self.wait("slurmd", lambda: self.ask("sinfo", "-h", "-o", "%T").strip() == "idle")

    def down(self) -> None:
        """Cancels what runs and ends exactly the processes that were started here, the last one
        first."""
        if len(self.daemons) == 5:
            subprocess.run(
                ("scancel", "--signal=KILL", "--full", f"--user={self.user}"),
                env=os.environ | self.environment,
                capture_output=True,
            )
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self.root, ignore_errors=True)

    def restart_node(self) -> None:
        """Kills the node's daemon, and starts it again; the steps that run there go on."""
        daemon = self.daemons.pop()
        daemon.kill()
        daemon.wait()
        self.start("slurmd", "-D")
        up = ("idle", "mixed", "allocated")
        self.wait("slurmd", lambda: self.ask("sinfo", "-h", "-o", "%T").strip() in up)

    def ask(self, *command: str) -> str:
        return output(*command, env=self.environment)

    def start(self, *command: str, **env: str) -> None:
        name = command[0]
        if (program := shutil.which(name, path=PATH)) is None:
            raise UnavailableError(f"{name} is not on the PATH, though its package is installed")
        with (self.root / "log" / f"{name}.out").open("wb") as log:
            environment = os.environ | {"PATH": PATH} | self.environment | env
            self.daemons.append(
                subprocess.Popen(
                    (program, *command[1:]),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    env=environment,
                )
            )

    def wait(self, name: str, ready: Callable[[], bool], seconds: float = 90) -> None:
        """Until `ready`; an answer that fails counts as not yet."""
        end, why = time.monotonic() + seconds, "not ready"
        while time.monotonic() < end:
            try:
                if ready():
                    return
            except UnavailableError as error:
                why = str(error)
            if self.daemons[-1].poll() is not None:
                said = (
                    (self.root / "log" / f"{name}.out")
                    .read_text(errors="replace")
                    .splitlines()[-1:]
                )
                raise UnavailableError(
                    f"{name} ended with status {self.daemons[-1].returncode}:"
                    f" {' '.join(said) or why}"
                )
            time.sleep(0.2)
        raise UnavailableError(f"{name} is not up after {seconds:.0f} s: {why}")

    def munge(self) -> None:
        (self.root / "munge.key").write_bytes(os.urandom(128))
        (self.root / "munge.key").chmod(0o400)
        files = {
            "socket": "munge.sock",
            "key-file": "munge.key",
            "pid-file": "munged.pid",
            "seed-file": "munged.seed",
            "log-file": "log/munged.log",
        }
        self.start(
            "munged",
            "--foreground",
            "--force",
            *(f"--{option}={self.root / file}" for option, file in files.items()),
        )
        self.wait(
            "munged",
            lambda: bool(self.ask("munge", f"--socket={self.root / 'munge.sock'}", "--no-input")),
        )

    def database(self) -> None:
        user, data, socket_file = (
            f"--user={self.user}",
            f"--datadir={self.root / 'mysql'}",
            str(self.root / "mysql.sock"),
        )
        output(
            "mariadb-install-db",
            "--no-defaults",
            user,
            data,
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )
        small = (
            "--innodb-buffer-pool-size=32M",
            "--innodb-log-file-size=16M",
            "--innodb-flush-log-at-trx-commit=0",
            "--performance-schema=OFF",
        )
        self.start(
            "mariadbd",
            "--no-defaults",
            user,
            data,
            f"--socket={socket_file}",
            "--skip-networking",
            *small,
        )
        client = ("mariadb", "--no-defaults", f"--socket={socket_file}", "--user=root", "--execute")
        self.wait("mariadbd", lambda: bool(self.ask(*client, "SELECT 1")))
        self.ask(*client, "CREATE DATABASE slurm_acct_db")
        self.start(
            "slurmdbd", "-D", MYSQL_UNIX_PORT=socket_file
        )  # how the client library finds `localhost`
        self.wait("slurmdbd", lambda: bool(self.ask("sacctmgr", "-i", "add", "cluster", "emoexp")))

    def configure(self, host: str) -> None:
        controller, node, accounting = free_ports(3)
        user, root = self.user, self.root
        loopback = (  # else the daemons listen on 0.0.0.0
            "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny"
        )
        (root / "slurm.conf").write_text(f"""
ClusterName=emoexp
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller}
SlurmdPort={node}
{loopback}
AuthType=auth/munge
CredType=cred/munge
# a requeued job may not start again before its credential has expired, by default after two minutes
AuthInfo=socket={root}/munge.sock,cred_expire=5
MpiDefault=none
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd.log
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmctldParameters=preempt_send_user_signal
KillWait=5
# the node claims more than the machine has
SlurmdParameters=config_overrides
GresTypes=gpu
AccountingStorageTRES=gres/gpu
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={accounting}
AccountingStoragePass={root}/munge.sock
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=512000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
""")
        (root / "gres.conf").write_text(f"NodeName={host} Name=gpu File=/dev/tty[0-1]\n")
        (root / "cgroup.conf").write_text(
            "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\nConstrainCores=no\nConstrainDevices=no\nConstrainRAMSpace=no\n"
        )
        (root / "slurmdbd.conf").write_text(f"""
AuthType=auth/munge
AuthInfo=socket={root}/munge.sock
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={accounting}
{loopback}
SlurmUser={user}
LogFile={root}/log/slurmdbd.log
PidFile={root}/slurmdbd.pid
CommitDelay=1
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct_db
""")
        (root / "slurmdbd.conf").chmod(0o600)
