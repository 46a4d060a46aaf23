"""A Dask cluster of processes of their own, which a test may kill; loaded as a plugin by the root `conftest.py`."""

import json
import subprocess
import sys
import time

import pytest


@pytest.fixture
def cluster(tmp_path):
    """Starts a Dask scheduler and workers: ``cluster(n_workers) -> address, processes``, the scheduler's first."""
    pytest.importorskip("distributed")
    processes = []

    def start(n_workers):
        file = tmp_path / "scheduler.json"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        dask = [sys.executable, "-m", "dask"]
        local = ["--host", "127.0.0.1"]
        command = [*dask, "scheduler", *local, "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
        processes.append(subprocess.Popen(command, **quiet))
        wait_for(lambda: file.exists() and file.read_text().endswith("}"))  # written whole, not only begun
        address = json.loads(file.read_text())["address"]
        for _ in range(n_workers):
            command = [*dask, "worker", address, *local, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
            processes.append(subprocess.Popen([*command, "--local-directory", str(tmp_path)], **quiet))
        if n_workers:
            wait_for(lambda: len(workers(address)) == n_workers)
        return address, processes

    yield start
    for process in processes:
        process.kill()
        process.wait()


def workers(address):
    """Threads of each worker of the cluster at this address."""
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        return client.nthreads()


def results_kept(address):
    """Results that the workers of the cluster still hold for somebody."""
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        return [key for keys in client.has_what().values() for key in keys]


def wait_for(holds, seconds=300):
    """Wait until ``holds()``."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)
