"""Two gloo processes on the CPU: equal to each other after locks and releases, and equal to one process."""

import os
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.utils import comm

from fx_d2.data.catalog import clear_datasets
from fx_d2.engine.build import build_trainer, prepare
from tests.tiny import tiny_config

# No denoising and no dropout: their noise is drawn per process, all else must not depend on how many there are.
OVERRIDES = {
    "MODEL.BOX.DENOISING.QUERIES": 0,
    "MODEL.MASK.DROPOUT": 0.0,
    "MODEL.SWIN.DROP_PATH_RATE": 0.0,
    "FX.EVAL.CYCLES": 0,
    "FX.CHECKPOINT_CYCLES": 100,
    "FX.CYCLE.COUNT": 1,
    # Adam turns a rounding difference of a tiny gradient into a step; weights move by about 1e-3 in all here.
    "SOLVER.BASE_LR": 1e-4,
}


def train(root, output) -> dict[str, torch.Tensor]:
    """A whole cycle; returns student, teacher and their buffers."""
    torch.set_num_threads(1)
    cfg = tiny_config(root, output, **OVERRIDES)
    os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
    clear_datasets()
    prepare(cfg)
    torch.manual_seed(comm.get_rank())  # ranks start from different weights; DDP must make them one
    trainer = build_trainer(cfg, resume=False)
    trainer.train(0, trainer.max_iter)
    clear_datasets()
    state = {f"student.{name}": value for name, value in trainer.student.state_dict().items()}
    return state | {f"teacher.{name}": value for name, value in trainer.teacher.state_dict().items()}


def worker(rank, port, root, output):
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    comm.create_local_process_group(2)
    state = train(root, output / str(rank))
    torch.save(state, output / f"rank{rank}.pth")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def states(cohort, tmp_path_factory):
    output = tmp_path_factory.mktemp("ddp")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(worker, (port, cohort, output), nprocs=2)
    return [torch.load(output / f"rank{rank}.pth") for rank in range(2)] + [train(cohort, output / "single")]


def test_ranks_are_equal_to_the_last_bit(states):
    first, second, _ = states
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_two_processes_give_the_result_of_one(states):
    first, _, single = states
    for name, value in single.items():
        if value.is_floating_point():
            torch.testing.assert_close(
                first[name], value, atol=3e-5, rtol=0, msg=lambda text, name=name: f"{name}: {text}"
            )
