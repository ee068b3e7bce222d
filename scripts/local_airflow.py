"""A real Airflow on this machine, reachable from this machine alone: `make airflow` and `make airflow-stop`.

All that it keeps (database, logs, password, the plans of the pipeline) lies in `.airflow`, or where AIRFLOW_HOME says.
The settings are those of `agnews run` in this directory: `./agnews.yaml` and the environment.
"""

import os
import secrets
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).parents[1]
HOME = Path(os.environ.get("AIRFLOW_HOME", ROOT / ".airflow")).absolute()
ADDRESS = HOME / "address"
PASSWORD = HOME / "admin-password"
PARTS = ("scheduler", "webserver")
_START_SECONDS = 180
_STOP_SECONDS = 30

ENVIRONMENT = {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(HOME / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    # Enough for the plan's first making, seconds.
    "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",
    # The scheduler starts its tasks by the name `airflow`.
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    # Children write no code in bytes where this is set, and the import of TFX takes four times as long.
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONWARNINGS": "ignore",
}


def start() -> None:
    """Starts what does not run yet, and says where it is."""
    if all(_process(part) for part in PARTS):
        _say("Airflow already runs")
        return
    stop(quietly=True)
    HOME.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ.update(ENVIRONMENT)
    _print(f"preparing {HOME}: half a minute the first time")
    with open(HOME / "prepare.log", "w") as log:
        if subprocess.run([sys.executable, __file__, "prepare"], cwd=ROOT, stdout=log, stderr=log).returncode:
            sys.exit(f"Airflow cannot be prepared; see {log.name}")
    port = _free_port()
    # Not --daemon, which closes the output. Logs are not served: that would be on all interfaces.
    _spawn("scheduler", "--skip-serve-logs")
    _spawn("webserver", "--hostname", "127.0.0.1", "--port", str(port), "--workers", "1")
    ADDRESS.write_text(f"http://127.0.0.1:{port}\n")
    _wait_until_healthy()
    _say("Airflow runs")


def stop(quietly: bool = False) -> None:
    """Ends what runs, tasks included; a task that was running is tried again after the next start."""
    running = {part: process for part in PARTS if (process := _process(part))}
    processes = [one for process in running.values() for one in (process, *process.children(recursive=True))]
    for process in running.values():
        process.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    while any(map(_lives, processes)) and time.monotonic() < deadline:
        time.sleep(0.2)
    for process in filter(_lives, processes):
        process.kill()
    for part in PARTS:
        _pid_file(part).unlink(missing_ok=True)
    if not quietly:
        _print(f"Airflow ended; {HOME} stays" if running else "Airflow does not run")


def prepare() -> None:
    """Makes the database, an administrator, and the DAG in it; Airflow writes much while it does."""
    from airflow.models import DagBag
    from airflow.utils.db import upgradedb

    (HOME / "dags").mkdir(exist_ok=True)
    link = HOME / "dags/agnews.py"
    link.unlink(missing_ok=True)
    link.symlink_to(ROOT / "pipeline/runners/airflow/dag_file.py")
    upgradedb()
    make_admin()
    dags = DagBag(HOME / "dags")
    if dags.import_errors:
        sys.exit("the DAG cannot be loaded:\n" + "\n".join(dags.import_errors.values()))
    dags.sync_to_db()


def make_admin() -> None:
    """Makes the administrator, with the password in the file; one that is there with another keeps it: no file then."""
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
    from werkzeug.security import check_password_hash

    password = PASSWORD.read_text().strip() if PASSWORD.exists() else ""
    with get_application_builder() as builder:
        manager = builder.sm
        admin = manager.find_user("admin")
        if admin is None:
            password = password or secrets.token_urlsafe(12)
            # First the file: an interrupt between the two leaves nobody whose password is not known.
            PASSWORD.touch(mode=0o600)
            PASSWORD.write_text(password + "\n")
            if not manager.add_user("admin", "Local", "Admin", "admin@localhost", manager.find_role("Admin"), password):
                sys.exit("the user admin cannot be made: the lines above say why")
        elif not check_password_hash(admin.password or "", password):
            PASSWORD.unlink(missing_ok=True)


def _spawn(part: str, *options: str) -> None:
    with open(HOME / f"{part}.log", "a") as log:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("airflow"), part, *options],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    _pid_file(part).write_text(f"{process.pid}\n")


def _wait_until_healthy() -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        for part in PARTS:
            if _process(part) is None:
                sys.exit(f"the {part} ended; see {HOME / f'{part}.log'}")
        try:
            health = httpx.get(f"{_address()}/health", trust_env=False).json()
            if health["scheduler"]["status"] == health["metadatabase"]["status"] == "healthy":
                return
        except (httpx.HTTPError, ValueError):
            pass
        time.sleep(1)
    sys.exit(f"Airflow was not healthy within {_START_SECONDS} s; see the logs in {HOME}, then: make airflow-stop")


def _process(part: str) -> psutil.Process | None:
    """The running process; a pid that another program has meanwhile does not count."""
    try:
        process = psutil.Process(int(_pid_file(part).read_text()))
        return process if part in process.cmdline() else None
    except (OSError, ValueError, psutil.Error):
        return None


def _lives(process: psutil.Process) -> bool:
    """Whether it runs: in a container whose first process collects no orphans, those that ended stay as zombies."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _pid_file(part: str) -> Path:
    return HOME / f"{part}.pid"


def _address() -> str:
    return ADDRESS.read_text().strip()


def _free_port() -> int:
    """8080, or any other where that is taken."""
    for port in (8080, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    sys.exit("no port is free on 127.0.0.1")


def _say(state: str) -> None:
    kept = f"password in {PASSWORD}" if PASSWORD.exists() else "whose password is the one in your database"
    _print(f"{state} at {_address()}, user admin, {kept}")
    if not PASSWORD.exists():
        home, airflow = (shlex.quote(str(path)) for path in (HOME, Path(sys.executable).with_name("airflow")))
        # With sessions in the database, the default, the command of Airflow 2.11 fails.
        variables = f"AIRFLOW_HOME={home} AIRFLOW__WEBSERVER__SESSION_BACKEND=securecookie"
        _print(f"to give it another: {variables} {airflow} users reset-password --username admin")
    _print("the DAG is paused until you switch it on there; stop Airflow with: make airflow-stop")


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    {"start": start, "stop": stop, "prepare": prepare}[sys.argv[1]]()
