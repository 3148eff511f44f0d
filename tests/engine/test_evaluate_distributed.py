"""Two processes share the images of an evaluation; its files are those of one process."""

import socket

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.utils import comm

from fx_d2.data.catalog import clear_datasets
from fx_d2.engine.build import build_networks, build_precision, prepare
from fx_d2.engine.evaluate import evaluate_fully
from fx_d2.schedule import Unit
from tests.tiny import tiny_config

FILES = ("results.json", "results_details.json", "results.csv", "thresholds.json")


def score(root, output) -> dict:
    torch.set_num_threads(1)
    output.mkdir(parents=True, exist_ok=True)
    # Batches of one: how images are batched must not show in the last bits of a score.
    cfg = tiny_config(root, output, **{"FX.EVAL.BOOTSTRAPS": 3, "FX.EVAL.BATCH": 1})
    clear_datasets()
    prepare(cfg)
    torch.manual_seed(0)
    student, teacher = build_networks(cfg)
    units = [Unit("phantom_screen", "cls"), Unit("phantom_heart", "box"), Unit("phantom_heart", "mask")]
    results, _ = evaluate_fully(cfg, {"student": student, "teacher": teacher.model}, units, build_precision(cfg))
    clear_datasets()
    return results


def worker(rank, port, root, output):
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    comm.create_local_process_group(2)
    results = score(root, output)  # one folder: only the main process may write
    assert bool(results["teacher"]["phantom_heart"]["box"]) == (rank == 0)
    dist.barrier()
    dist.destroy_process_group()


def test_two_processes_write_what_one_does(cohort, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(worker, (port, cohort, tmp_path / "two"), nprocs=2)
    score(cohort, tmp_path / "one")
    for name in FILES:
        assert (tmp_path / "two" / name).read_text() == (tmp_path / "one" / name).read_text(), name
    for path in (tmp_path / "one" / "predictions").rglob("*.*"):
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert other.read_text() == path.read_text(), path
    assert {path.name for path in (tmp_path / "two").iterdir()} == {path.name for path in (tmp_path / "one").iterdir()}
