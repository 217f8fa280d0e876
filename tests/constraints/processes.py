"""Real processes for tests: started once, each check in a process group of its own, nothing that can hang for long.

A check is a function of (rank, world) that asserts. Files carry what they said: a process that dies or hangs is seen
by what is missing.
"""

from __future__ import annotations

import datetime
import multiprocessing
import pickle
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist

Check = Callable[[int, int], None]

AT_MOST = 240.0  # seconds for all checks together, on a machine that is busy
OF_ONE_EXCHANGE = datetime.timedelta(seconds=20)


def run(checks: dict[str, tuple[int, Check]]) -> dict[str, str]:
    """Run every check in as many processes as it asks for. Returns what went wrong, by name; "" where nothing did."""
    with tempfile.TemporaryDirectory() as folder:
        # Forked from a server that has imported the heavy modules once.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["torch.distributed.fsdp", "torch.distributed.tensor.parallel", "isotone"])
        most = max(world for world, _ in checks.values())
        processes = [context.Process(target=_work, args=(rank, checks, folder), daemon=True) for rank in range(most)]
        for process in processes:
            process.start()
        end = time.monotonic() + AT_MOST
        for process in processes:
            process.join(max(0.0, end - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
        return {name: _said(Path(folder), name, world) for name, (world, _) in checks.items()}


def _said(folder: Path, name: str, world: int) -> str:
    said = []
    for rank in range(world):
        file = folder / f"{name}.{rank}.said"
        what = pickle.loads(file.read_bytes()) if file.exists() else "died or hung before it could say anything"
        if what:
            said.append(f"[{name}] process {rank} of {world}: {what}")
    return "\n".join(said)


def _work(rank: int, checks: dict[str, tuple[int, Check]], folder: str) -> None:
    torch.set_num_threads(1)
    # The widest first: processes that are not needed any more leave, and none waits for its turn.
    for name, (world, check) in sorted(checks.items(), key=lambda item: -item[1][0]):
        if rank >= world:
            continue
        said = ""
        try:
            dist.init_process_group(
                "gloo",
                init_method=(Path(folder) / f"{name}.store").as_uri(),
                rank=rank,
                world_size=world,
                timeout=OF_ONE_EXCHANGE,
            )
            torch.manual_seed(0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.filterwarnings("error", message=".*(held in|was outside|stays inside).*")  # ours
                check(rank, world)
        except BaseException:  # whatever it is, it is reported
            said = traceback.format_exc()
        (Path(folder) / f"{name}.{rank}.said").write_bytes(pickle.dumps(said))
        if dist.is_initialized():
            dist.destroy_process_group()  # lets the others' exchanges fail at once
