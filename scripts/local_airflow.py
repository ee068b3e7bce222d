"""Runs a real Airflow that is reachable only from this machine: `make airflow` and `make airflow-stop`.

All its files (database, logs, password, plan) are in `.airflow`, or in the directory AIRFLOW_HOME. The settings are
those of `agnews run` in this directory: `./agnews.yaml` and the environment.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).parents[1]
HOME = Path(os.environ.get("AIRFLOW_HOME", ROOT / ".airflow")).absolute()
ADDRESS = HOME / "address"
PASSWORDS = HOME / "passwords.json"
AIRFLOW = Path(sys.executable).with_name("airflow")
# Logs are not served, since that would open a port on all interfaces; the API server reads the files.
PARTS = {"scheduler": ["--skip-serve-logs"], "dag-processor": [], "api-server": []}
_START_SECONDS = 180
_STOP_SECONDS = 30


def environment(address: str) -> dict[str, str]:
    """Returns the variables of a local Airflow at an address; variables that are set already stay."""
    host, _, port = address.removeprefix("http://").partition(":")
    return {
        "AIRFLOW__CORE__DAGS_FOLDER": str(HOME / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(PASSWORDS),
        # One training uses all cores.
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__API__WORKERS": "1",
        "PYTHONWARNINGS": "ignore",
        **os.environ,
        "AIRFLOW_HOME": str(HOME),
        "AIRFLOW__API__HOST": host,
        "AIRFLOW__API__PORT": port,
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        # If this is set, child processes write no bytecode, and the import of TFX takes four times as long.
        "PYTHONDONTWRITEBYTECODE": "",
    }


def start() -> None:
    """Writes the plan, starts the parts that do not run yet, and prints the address."""
    if all(map(_process, PARTS)):
        _say("Airflow already runs")
        return
    stop(quietly=True)
    HOME.mkdir(mode=0o700, parents=True, exist_ok=True)
    (HOME / "dags").mkdir(exist_ok=True)
    PASSWORDS.touch(mode=0o600)
    _print(f"preparing {HOME}: half a minute the first time")
    link = HOME / "dags/agnews.py"
    link.unlink(missing_ok=True)
    link.symlink_to(ROOT / "pipeline/runners/airflow/dag_file.py")
    if subprocess.run([ROOT / ".venv/bin/agnews", "plan", "--output", link.with_suffix(".json")]).returncode:
        sys.exit("the plan cannot be written; the lines above say why")
    address = f"http://127.0.0.1:{_free_port()}"
    variables = environment(address)
    with open(HOME / "prepare.log", "w") as log:
        if subprocess.run([AIRFLOW, "db", "migrate"], env=variables, cwd=ROOT, stdout=log, stderr=log).returncode:
            sys.exit(f"Airflow cannot be prepared; see {log.name}")
    ADDRESS.write_text(address + "\n")
    processes = {}
    for part, options in PARTS.items():
        # Not --daemon, which closes the output.
        with open(HOME / f"{part}.log", "a") as log:
            processes[part] = subprocess.Popen(
                [AIRFLOW, part, *options],
                env=variables,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        _pid_file(part).write_text(f"{processes[part].pid}\n")
    _wait_until_healthy(address, processes)
    _say("Airflow runs")


def stop(quietly: bool = False) -> None:
    """Stops all parts and running tasks; those tasks are retried after the next start."""
    running = [process for process in map(_process, PARTS) if process]
    processes = [one for process in running for one in (process, *process.children(recursive=True))]
    for process in running:
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


def _wait_until_healthy(address: str, processes: Mapping[str, subprocess.Popen]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        for part, process in processes.items():
            # A process that has just started, or changes its title, may have no command line yet.
            if process.poll() is not None:
                sys.exit(f"the {part} ended; see {HOME / f'{part}.log'}")
        try:
            health = httpx.get(f"{address}/api/v2/monitor/health", trust_env=False).json()
            if {health[part]["status"] for part in ("metadatabase", "scheduler", "dag_processor")} == {"healthy"}:
                return
        except (httpx.HTTPError, ValueError):
            pass
        time.sleep(1)
    sys.exit(f"Airflow was not healthy within {_START_SECONDS} s; see the logs in {HOME}, then: make airflow-stop")


def _process(part: str) -> psutil.Process | None:
    """Returns the running process, or None if another program now has its pid."""
    try:
        process = psutil.Process(int(_pid_file(part).read_text()))
        # The API server changes its title.
        return process if "airflow" in " ".join(process.cmdline()) and _lives(process) else None
    except (OSError, ValueError, psutil.Error):
        return None


def _lives(process: psutil.Process) -> bool:
    """Returns whether the process runs; zombies, which remain in containers without an init process, do not count."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _pid_file(part: str) -> Path:
    return HOME / f"{part}.pid"


def _free_port() -> int:
    """Returns port 8080, or a free one if that is taken."""
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
    _print(f"{state} at {ADDRESS.read_text().strip()}, user admin, password in {PASSWORDS}")
    _print("the DAG is paused until you switch it on there; stop Airflow with: make airflow-stop")


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    {"start": start, "stop": stop}[sys.argv[1]]()
