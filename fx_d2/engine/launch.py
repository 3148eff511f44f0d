"""Processes of a run: one, several through Detectron2's ``launch``, or those of ``torchrun`` and its like."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

import torch
import torch.distributed as dist
from detectron2.engine import launch
from detectron2.engine.launch import DEFAULT_TIMEOUT
from detectron2.utils import comm
from torch.distributed.elastic.multiprocessing.errors import record
from torch.multiprocessing import ProcessExitedException

from .preemption import EXIT_INTERRUPTED, SIGNALS, Preempted, forwarding_to_children

logger = logging.getLogger(__name__)

# What torchrun tells each process; a SLURM script may set the same.
RENDEZVOUS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def launch_run(main: Callable, args) -> None:
    """Calls ``main(args)`` in every process of the run: NCCL where there are GPUs, else gloo.

    Args:
        args: of Detectron2's ``default_argument_parser``; the numbers of GPUs and machines count only where the
            environment does not come from torchrun.
    """
    if all(name in os.environ for name in RENDEZVOUS):
        record(_join_rendezvous)(main, args)
        return
    several = args.num_gpus * args.num_machines > 1
    if not several:
        main(args)
        return
    with forwarding_to_children() as signals:
        try:
            launch(
                run_child,
                args.num_gpus,
                num_machines=args.num_machines,
                machine_rank=args.machine_rank,
                dist_url=args.dist_url,
                args=(main, args),
            )
        except ProcessExitedException as error:
            if not signals or -error.exit_code not in SIGNALS:
                raise
            # A process that does not listen yet dies of the signal; nothing was begun.
            logger.warning("%s received before the run had begun", signals[0])
            raise Preempted(signals[0]) from None


def run_child(main: Callable, args) -> None:
    """PyTorch takes a child that Ctrl-C interrupted for one that is done."""
    try:
        main(args)
    except KeyboardInterrupt:
        raise SystemExit(EXIT_INTERRUPTED) from None


def _join_rendezvous(main: Callable, args) -> None:
    """Joins the group that the environment describes (``env://``)."""
    if args.num_gpus * args.num_machines > 1:
        logger.warning("--num-gpus and --num-machines are left aside: torchrun decides the number of processes")
    local_rank = int(os.environ["LOCAL_RANK"])
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(local_rank)
    dist.init_process_group("nccl" if gpu else "gloo", init_method="env://", timeout=DEFAULT_TIMEOUT)
    comm.create_local_process_group(int(os.environ["LOCAL_WORLD_SIZE"]))
    comm.synchronize()
    main(args)
    # Not in a finally: after an error the others wait in a collective call, and leaving would wait for them.
    dist.destroy_process_group()
