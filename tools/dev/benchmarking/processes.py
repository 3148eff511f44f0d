"""Training steps of two processes that exchange gradients."""

from __future__ import annotations

import json
import logging
import os
import socket
import tempfile
from pathlib import Path
from statistics import median

import torch
import torch.distributed as dist
import torch.multiprocessing
from detectron2.utils import comm

from fx_d2.engine.locking import apply_lock
from fx_d2.engine.processes import wrap_distributed

from .clock import interleave, ratio
from .options import Options
from .steps import Bench, Kind, kinds

PROCESSES = 2

logger = logging.getLogger(__name__)


def process_rows(cfg, options: Options) -> list[dict]:
    """A row for each kind of pass, the batch shared by two processes: ours, and DistributedDataParallel as it is
    commonly used, around the network before the first lock, so that it sends all gradients in every step.

    On GPUs each process has one of its own; where there are fewer than two, no row.
    """
    if torch.device(cfg.MODEL.DEVICE).type == "cuda" and torch.cuda.device_count() < PROCESSES:
        logger.info("two processes: left out, there are no two GPUs")
        return []
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        torch.multiprocessing.spawn(_measure, (port, cfg, options, folder), nprocs=PROCESSES)
        return json.loads((Path(folder) / "rows.json").read_text(encoding="utf-8"))


def _measure(rank: int, port: int, cfg, options: Options, folder: str) -> None:
    logging.basicConfig(level=logging.INFO if rank == 0 else logging.ERROR, format="%(message)s")
    threads = options.threads or max(1, (os.cpu_count() or 1) // PROCESSES)
    backend = "gloo"
    if torch.device(cfg.MODEL.DEVICE).type == "cuda":
        torch.cuda.set_device(rank)
        backend = "nccl"
    dist.init_process_group(backend, init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=PROCESSES)
    comm.create_local_process_group(PROCESSES)
    bench = Bench(cfg, max(1, options.batch // PROCESSES), threads)
    rows = [_row(bench, kind, options) for kind in kinds(cfg) if options.wants(kind)]
    if rank == 0:
        (Path(folder) / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    dist.destroy_process_group()


def _row(bench: Bench, kind: Kind, options: Options) -> dict:
    batch = bench.batch(kind.unit)

    def step() -> None:
        dist.barrier()
        bench.step(kind, batch)

    cases = {
        "lock": lambda: bench.lock(kind),
        "ours": step,
        # The flags are set outside the step's clock.
        "lock once": lambda: _lock_after_wrapping(bench, kind),
        "wrapped once": step,
    }
    times = interleave(cases, options.repeats, bench.device, options.clock)
    trained = sum(p.numel() for p in bench.student.parameters() if p.requires_grad)
    row = {
        "kind": str(kind),
        "times as fast": ratio(times["wrapped once"], times["ours"]),
        "seconds": median(times["ours"]),
        "MB sent": 4e-6 * trained,
        "wrapped once: seconds": median(times["wrapped once"]),
        "wrapped once: MB sent": 4e-6 * sum(p.numel() for p in bench.student.parameters()),
        "a lock: seconds": median(times["lock"]),
    }
    logger.info("%s", row)
    return row


def _lock_after_wrapping(bench: Bench, kind: Kind) -> None:
    bench.optimizer.zero_grad(set_to_none=True)
    bench.model = None
    bench.student.requires_grad_(True)
    bench.model = wrap_distributed(bench.student)
    apply_lock(bench.student, bench.student.trainable_parts(kind.unit, kind.train))
