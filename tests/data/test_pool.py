"""What crosses from a worker process to the trainer, and how it gets to a GPU."""

import copy
import logging
import multiprocessing
import os
import signal

import numpy as np
import pytest
import torch

from fx_d2.config import get_fx_cfg
from fx_d2.data import loader
from fx_d2.data.mapper import make_instances
from fx_d2.data.pool import BatchLoader, PackedBatch


def entry(number):
    generator = torch.Generator().manual_seed(number)
    image = torch.randint(0, 256, (1, 4, 4), dtype=torch.uint8, generator=generator)
    truth = make_instances(np.arange(4.0 * number).reshape(number, 4), np.arange(number), 4)
    return {"image": image, "labels": torch.tensor([number, np.nan]), "instances": truth, "content": (0, 0, 4, 4)}


def test_a_batch_arrives_as_it_was_sent():
    sent = [entry(number) for number in range(3)]
    arrived = PackedBatch.pack(copy.deepcopy(sent)).unpack()
    for one, two in zip(sent, arrived, strict=True):
        assert one.keys() == two.keys() and one["content"] == two["content"]
        assert torch.equal(one["image"], two["image"])
        assert torch.equal(one["labels"].nan_to_num(-1), two["labels"].nan_to_num(-1))
        assert torch.equal(one["instances"].gt_boxes.tensor, two["instances"].gt_boxes.tensor)
        assert torch.equal(one["instances"].gt_classes, two["instances"].gt_classes)
        assert one["instances"].image_size == two["instances"].image_size


def test_a_batch_is_one_piece_of_memory_of_which_the_images_are_views():
    packed = PackedBatch.pack([entry(number) for number in range(3)])
    # Three images of 16 bytes and three times two labels of 4, which come first.
    assert packed.memory.dtype == torch.uint8 and packed.memory.shape == (3 * 16 + 3 * 2 * 4,)
    assert list(packed.layout.values()) == [(torch.float32, (3, 2)), (torch.uint8, (3, 1, 4, 4))]
    assert not any(isinstance(value, torch.Tensor) for each in packed.entries for value in each.values())
    assert packed.memory[24:40].tolist() == entry(0)["image"].flatten().tolist()
    whole = packed.memory.untyped_storage().data_ptr()
    found = packed.unpack()
    assert {each[key].untyped_storage().data_ptr() for each in found for key in ("image", "labels")} == {whole}


def test_a_batch_without_a_tensor():
    assert PackedBatch.pack([{"image_id": "a"}, {"image_id": "b"}]).unpack() == [{"image_id": "a"}, {"image_id": "b"}]


def test_images_of_two_sizes_are_refused():
    with pytest.raises(RuntimeError, match="equal size"):
        PackedBatch.pack([{"image": torch.zeros(1, 2, 2)}, {"image": torch.zeros(1, 3, 2)}])


def test_the_memory_is_pinned_and_nothing_else_changes(monkeypatch):
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self.clone())
    packed = PackedBatch.pack([entry(number) for number in range(2)])
    moved = packed.pin_memory()
    assert len(pinned) == 1 and pinned[0] is packed.memory
    assert moved.entries is packed.entries and moved.entries[0]["content"] == (0, 0, 4, 4)
    assert torch.equal(moved.unpack()[1]["image"], entry(1)["image"])


@pytest.mark.parametrize(("device", "pinned"), [("cpu", False), ("cuda", True), ("cuda:1", True)])
def test_batches_are_pinned_for_a_gpu(device, pinned, monkeypatch):
    seen = []
    monkeypatch.setattr(loader, "BatchLoader", lambda *args: seen.append(args[2:]))
    cfg = get_fx_cfg()
    cfg.MODEL.DEVICE, cfg.DATALOADER.NUM_WORKERS, cfg.DATALOADER.PREFETCH = device, 3, 5
    loader.build_test_loader(cfg, [], "val")
    assert seen == [(3, 5, pinned)]


def test_options_of_the_loader():
    loader = BatchLoader([], [[0], [1]], 4, 6, True)
    assert loader.pin_memory and loader.num_workers == 2 and loader.prefetch_factor == 6
    assert loader.multiprocessing_context.get_start_method() == "forkserver"
    loader = BatchLoader([], [[0], [1]], 0)
    assert loader.prefetch_factor is None and not loader.pin_memory


class Telling(torch.utils.data.Dataset):
    """Logs in the process that reads, and tells which that is and what signals it holds back."""

    def __getitem__(self, index):
        logging.getLogger("fx_d2.data.telling").warning("read %d", index)
        held = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        return {"process": os.getpid(), "parent": multiprocessing.parent_process().pid, "held": held}


def test_a_worker_logs_where_its_trainer_does_and_leaves_the_signals_of_the_job_to_it(tmp_path):
    handler = logging.FileHandler(tmp_path / "log.txt")
    handler.setFormatter(logging.Formatter("[%(name)s] %(message)s"))
    logger = logging.getLogger("fx_d2")
    logger.addHandler(handler)
    try:
        ((entry,),) = BatchLoader(Telling(), [[7]], 1)
    finally:
        logger.removeHandler(handler)
    assert entry["process"] != entry["parent"] == os.getpid()
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1} <= entry["held"]
    assert (tmp_path / "log.txt").read_text() == "[fx_d2.data.telling] read 7\n"


def test_a_lock_that_another_thread_holds_is_no_lock_in_a_worker(tmp_path):
    """A forked process would wait for ever for what the writing thread held when it was forked."""
    handler = logging.FileHandler(tmp_path / "log.txt")
    logger = logging.getLogger("fx_d2")
    logger.addHandler(handler)
    handler.stream.buffer.raw  # noqa: B018  # the file is open before the lock is taken
    handler.acquire()
    try:
        assert len(list(BatchLoader(Telling(), [[0], [1]], 2))) == 2
    finally:
        handler.release()
        logger.removeHandler(handler)
