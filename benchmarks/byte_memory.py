"""Does training on files of raw bytes take the same memory whatever their length, and what does it cost in time?

One training step (forward, backward, optimizer) on one file of random bytes that is read from a disk, each in a fresh
process: our two passes, and the naive computation that keeps every window. Peak memory is that of the whole process,
and what of it is above the start of the step. Where the naive one fits, loss and gradients are compared.

    python benchmarks/byte_memory.py [--threads 2] [--out benchmarks/results/byte_memory.json]
    python benchmarks/byte_memory.py --throughput [--out ...]   only MB/s of training and scoring, side by side
"""

import argparse
import ctypes
import gc
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812

import isotone
from isotone.files import FileBytes
from isotone.nn import ByteNetwork

MB = 2**20
# fmt: off
KINDS = {
    # kind             context  naive   sizes in MB
    "two passes":      (0,      False,  (1, 4, 16, 64, 256)),
    "two passes, gated": (64,  False,   (1, 16, 64)),
    "naive":           (0,      True,   (1, 4, 16)),
}
# fmt: on


def naive(network, file):
    """Every window at once, as the layers of a MalConv do."""
    x = torch.frombuffer(bytearray(file[0 : len(file)]), dtype=torch.uint8)
    size = network.windows.size
    windows = x[: len(x) // size * size].reshape(-1, size)
    return network.head(network.encoder(windows).relu().amax(dim=0)[None])


def loss_of(logit):
    return F.binary_cross_entropy_with_logits(logit[:, 0], torch.ones(1))


def network_of(context):
    torch.manual_seed(0)
    network = ByteNetwork(context=context)
    # On files of some windows: without it a new head is far on one side, where no loss has a gradient.
    network.centre_([torch.randint(0, 256, (512 * n,), dtype=torch.uint8) for n in range(1, 33)])
    return network.train()


def step_of(network, file, is_naive):
    optimizer = torch.optim.AdamW(network.parameters())
    loss_of(naive(network, file) if is_naive else network([file])).backward()
    optimizer.step()


def memory(what):
    """VmRSS (now) or VmHWM (the most since the last reset) of this process, in bytes."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what)]
    return int(line.split()[1]) * 1024


def settled():
    """Memory of the process now, after what is free went back to the system; the peak is counted anew from here."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def one_step(kind, path, threads):
    """Memory and time of one step in this process."""
    torch.set_num_threads(threads)
    context, is_naive, _ = KINDS[kind]
    # The first step of a process loads code; it is made with a network that is next to nothing.
    step_of(ByteNetwork(8, 64, context=8), bytes(4096), is_naive)
    network = network_of(context)
    with FileBytes(path) as file:
        before = settled()
        start, cpu = time.monotonic(), time.process_time()
        step_of(network, file, is_naive)
        seconds, cpu = time.monotonic() - start, time.process_time() - cpu
        size = len(file)
    return {
        "kind": kind, "megabytes": size / MB, "threads": threads, "peak_mb": (memory("VmHWM") - before) / MB,
        "process_mb": memory("VmHWM") / MB, "seconds": seconds, "cpu_seconds": cpu,
        "mb_per_second": size / MB / seconds, "mb_per_cpu_second": size / MB / cpu,
    }  # fmt: skip


def compared(path):
    """Largest relative differences between the two ways, in this process."""
    found = {}
    for way in ("two passes", "naive"):
        network = network_of(0)
        with FileBytes(path) as file:
            loss = loss_of(naive(network, file) if way == "naive" else network([file]))
        loss.backward()
        found[way] = (float(loss.detach()), [p.grad for p in network.parameters()])
    (ours, grads), (theirs, expected) = found["two passes"], found["naive"]
    assert all(bool(b.any()) for b in expected), "without gradients there is nothing to compare"
    worst = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(grads, expected, strict=True))
    return {"loss": abs(ours - theirs) / abs(theirs), "gradients": worst}


WAYS = {
    "two passes": lambda: (network_of(0), False),
    "words, two passes": lambda: (ByteNetwork(words=2**14).train(), False),
    "naive": lambda: (network_of(0), True),
}


def throughput(threads, repeats):
    """MB/s of a training step and of a score, for files of 1 and 16 MB of random bytes; the ways take turns."""
    torch.set_num_threads(threads)
    made_of, seconds = {name: make() for name, make in WAYS.items()}, {}
    with tempfile.TemporaryDirectory() as folder:
        for size in (1, 16):
            path = Path(folder) / f"{size}"
            made(path, size)
            for turn in range(repeats + (size == 1)):
                for name, (network, is_naive) in made_of.items():
                    for what in ("training", "scoring"):
                        network.train(what == "training")
                        with FileBytes(path) as file, torch.set_grad_enabled(what == "training"):
                            start, cpu = time.monotonic(), time.process_time()
                            if what == "training":
                                step_of(network, file, is_naive)
                            else:
                                naive(network, file) if is_naive else network([file])
                            took = time.monotonic() - start, time.process_time() - cpu
                            if turn or size > 1:  # the very first one warms up
                                seconds.setdefault((name, what, size), []).append(took)
    found = []
    for (name, what, size), values in seconds.items():
        wall, cpu = (size / statistics.median(some) for some in zip(*values, strict=True))
        found.append({"way": name, "what": what, "megabytes": size, "threads": threads, "runs": len(values),
                      "mb_per_second": wall, "mb_per_cpu_second": cpu})  # fmt: skip
        print(f"{name:18} {what:9} {size:3} MB  {wall:7.1f} MB/s  {cpu:7.1f} MB per second of a core", flush=True)
    return found


def made(path, megabytes):
    random = np.random.default_rng(megabytes)
    with path.open("wb") as stream:
        for _ in range(megabytes):
            stream.write(random.bytes(MB))


def in_fresh_process(*what):
    done = subprocess.run([sys.executable, __file__, *map(str, what)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def spread(runs, what):
    """Between the least and the most over the lengths, of two passes; the median of repeated runs."""
    found = {}
    for run in runs:
        if run["kind"] == "two passes":
            found.setdefault(run["megabytes"], []).append(run[what])
    medians = [statistics.median(values) for values in found.values()]
    return max(medians) / min(medians) - 1


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--throughput", action="store_true")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--compare", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        print(json.dumps(one_step(*given.step, given.threads)))
        return
    if given.compare:
        print(json.dumps(compared(given.compare)))
        return
    if given.throughput:
        found = throughput(given.threads, given.repeats)
        if given.out:
            before = json.loads(given.out.read_text()) if given.out.exists() else {}
            given.out.write_text(json.dumps(before | {"throughput": found}, indent=1) + "\n")
        return
    runs, differences = [], {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        for size in sorted({size for *_, sizes in KINDS.values() for size in sizes}):
            made(path, size)
            for kind, (_, is_naive, sizes) in KINDS.items():
                if size not in sizes:
                    continue
                for _ in range(given.repeats if size <= 64 else 1):
                    runs.append(in_fresh_process("--step", kind, path, "--threads", given.threads))
                    r = runs[-1]
                    print(f"{kind:18} {size:4} MB  peak {r['peak_mb']:8.1f} MB  {r['mb_per_second']:6.2f} MB/s  "
                          f"{r['mb_per_cpu_second']:6.2f} MB per second of a core", flush=True)  # fmt: skip
                if is_naive:
                    differences[size] = in_fresh_process("--compare", path)
                    print(f"{'':18} relative differences: {differences[size]}", flush=True)
    summary = {"peak of the process": spread(runs, "process_mb"), "peak above the start": spread(runs, "peak_mb")}
    for what, share in summary.items():
        print(f"{what}, two passes, from 1 to 256 MB: {share:.1%} between the least and the most")
    if given.out:
        versions = {"isotone": isotone.__version__, "torch": torch.__version__, "python": platform.python_version()}
        facts = {"command": " ".join(["python", *sys.argv]), "versions": versions, "spread": summary}
        facts |= {"differences": differences, "runs": runs}
        given.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
