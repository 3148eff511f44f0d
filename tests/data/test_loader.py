"""The stream of training images: every image equally often, the same whatever the processes, resumable."""

import os
from collections import Counter

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode

from fx_d2.config import get_fx_cfg
from fx_d2.data import loader as loader_module
from fx_d2.data.loader import (
    CycleBatchSampler,
    build_test_loader,
    build_train_loader,
    epoch_order,
    few_shot,
    unit_sizes,
)
from fx_d2.data.mapper import UnitMapper
from fx_d2.schedule import CycleSchedule, Pass, Unit

SIZES = {"cls": 7, "box": 5, "mask": 6}
UNITS = tuple(Unit("stream", task) for task in SIZES)
PASSES = {
    "cls": [Pass("path", fraction=0.5)],
    "box": [Pass("head", fraction=0.5), Pass("path")],
    "mask": [Pass("path", max_images=4)],
}


@pytest.fixture(scope="module")
def units(tmp_path_factory):
    """Three units whose picture ``i`` has the mean level 10 * i + 10, registered for this module."""
    folder = tmp_path_factory.mktemp("stream")
    names = []
    for task, size in SIZES.items():
        records = []
        for i in range(size):
            path = folder / f"{task}{i}.png"
            noise = np.random.default_rng(i).integers(0, 9, (20, 24))
            cv2.imwrite(str(path), (noise + 10 * i).astype(np.uint8))
            box = {"bbox": [3.0, 4.0, 9.0, 8.0], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 0, "iscrowd": 0}
            record = {"file_name": str(path), "image_id": path.name, "height": 20, "width": 24}
            record |= {"unit": f"stream/{task}", "labels": [1.0, float("nan")]}
            # Images differ in their number of boxes.
            record["annotations"] = [{**box, "segmentation": [[3, 4, 12, 4, 12, 12]]}] * (i % 3)
            records.append(record)
        for split, entries in {"train": records, "test": records, "val": []}.items():
            name = f"stream_{task}_{split}"
            DatasetCatalog.register(name, lambda entries=entries: entries)
            MetadataCatalog.get(name).set(
                thing_classes=["A", "B"], lateral_pairs=[], flip=True, unit=f"stream/{task}", exclusive=False
            )
            names.append(name)
    yield UNITS
    for name in names:
        DatasetCatalog.pop(name)
        MetadataCatalog.pop(name)


@pytest.fixture
def cfg():
    cfg = get_fx_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.INPUT.SIZE = 16
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.FX.EVAL.BATCH = 4
    return cfg


def make_schedule(units, cycles=4, batch_size=3, passes=PASSES):
    return CycleSchedule(units, passes, {unit: SIZES[unit.task] for unit in units}, batch_size, cycles)


def same(a, b):
    """Two batches are equal to the bit, in the same order."""
    assert [entry["image_id"] for entry in a] == [entry["image_id"] for entry in b]
    for one, two in zip(a, b, strict=True):
        assert one.keys() == two.keys()
        for key, value in one.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value.nan_to_num(-1), two[key].nan_to_num(-1)), key
            elif key == "instances":
                assert torch.equal(value.gt_boxes.tensor, two[key].gt_boxes.tensor)
                assert torch.equal(value.gt_classes, two[key].gt_classes)
            else:
                assert value == two[key]
    return True


def act_as(monkeypatch, rank, world):
    monkeypatch.setattr(loader_module.comm, "get_rank", lambda: rank)
    monkeypatch.setattr(loader_module.comm, "get_world_size", lambda: world)


def test_batches_follow_the_schedule(units, cfg):
    schedule = make_schedule(units)
    batches = list(build_train_loader(cfg, schedule))
    assert len(batches) == len(build_train_loader(cfg, schedule)) == len(schedule)
    for iteration, batch in enumerate(batches):
        slot = schedule.at(iteration)
        assert {entry["unit"] for entry in batch} == {str(slot.unit)}
        assert len(batch) == slot.stop - slot.start
        truth = {"cls": "labels", "box": "instances", "mask": "masks"}[slot.unit.task]
        for entry in batch:
            assert entry["image"].shape == entry["image_teacher"].shape == (1, 16, 16) and truth in entry


def test_every_image_is_seen_equally_often(units, cfg):
    """15 cycles of 4 of 7 images are 8 walks and 4 images; of 2 of 5 boxes 6 walks; of 4 of 6 masks 10 walks."""
    schedule = make_schedule(units, cycles=15)
    seen = Counter()
    for keys in CycleBatchSampler(schedule, 0, 0, 1):
        for unit, pass_index, position in keys:
            size = SIZES[unit.task]
            order = epoch_order(0, unit, pass_index, position // size, size)
            seen[unit, pass_index, int(order[position % size])] += 1
    for unit in units:
        for index, plan in enumerate(PASSES[unit.task]):
            drawn = 15 * plan.length(SIZES[unit.task])
            counts = [seen[unit, index, image] for image in range(SIZES[unit.task])]
            assert sum(counts) == drawn and max(counts) - min(counts) <= (1 if drawn % len(counts) else 0)


def test_delivered_images_are_seen_equally_often(units, cfg):
    only = CycleSchedule(units[:1], {"cls": [Pass("path", fraction=0.5)]}, {units[0]: 7}, 3, 7)
    seen = Counter(entry["image_id"] for batch in build_train_loader(cfg, only) for entry in batch)
    assert set(seen.values()) == {4} and len(seen) == 7  # 7 cycles of 4 images = 4 walks over 7


def test_ranks_share_the_single_process_batch(units, cfg, monkeypatch):
    schedule = make_schedule(units, cycles=2, batch_size=4)
    whole = list(build_train_loader(cfg, schedule))
    for rank in range(2):
        act_as(monkeypatch, rank, 2)
        half = build_train_loader(cfg, schedule)
        assert all(same(batch[rank::2], part) for batch, part in zip(whole, half, strict=True))


@pytest.mark.parametrize("start", [1, 6, 13])
def test_a_resumed_run_gets_the_same_batches(units, cfg, start):
    schedule = make_schedule(units)
    whole, rest = list(build_train_loader(cfg, schedule)), list(build_train_loader(cfg, schedule, start))
    assert len(rest) == len(schedule) - start
    assert all(same(a, b) for a, b in zip(whole[start:], rest, strict=True))


def test_a_finished_run_has_no_batch(units, cfg):
    schedule = make_schedule(units)
    assert list(build_train_loader(cfg, schedule, len(schedule))) == []


def test_worker_processes_change_nothing(units, cfg):
    schedule = make_schedule(units, cycles=2)
    alone = list(build_train_loader(cfg, schedule))
    cfg.DATALOADER.NUM_WORKERS = 2
    assert all(same(a, b) for a, b in zip(alone, build_train_loader(cfg, schedule), strict=True))


def test_views_do_not_depend_on_the_batch_size(units, cfg):
    """The same positions in other batches: equal images, equal draws."""
    small, large = (
        [entry for batch in build_train_loader(cfg, make_schedule(units, batch_size=size)) for entry in batch]
        for size in (2, 5)
    )
    assert same(small, large)


def test_epochs_passes_units_and_seeds_differ_in_order(units):
    first = epoch_order(0, units[0], 0, 0, 50)
    others = [
        epoch_order(0, units[0], 0, 1, 50),
        epoch_order(0, units[0], 1, 0, 50),
        epoch_order(0, units[1], 0, 0, 50),
        epoch_order(1, units[0], 0, 0, 50),
    ]
    assert sorted(first) == list(range(50))
    assert all(not np.array_equal(first, other) for other in others)
    assert np.array_equal(first, epoch_order.__wrapped__(0, units[0], 0, 0, 50))


def test_an_image_is_drawn_anew_every_time(units, cfg):
    only = CycleSchedule(units[:1], {"cls": [Pass("path")]}, {units[0]: 7}, 7, 2)
    first, second = build_train_loader(cfg, only)
    views = {entry["image_id"]: entry["image"] for entry in first}
    assert sum(torch.equal(views[entry["image_id"]], entry["image"]) for entry in second) == 0


def test_loading_leaves_the_global_generators_alone(units, cfg):
    torch.manual_seed(1)
    np.random.seed(1)
    expected = torch.initial_seed(), torch.random.get_rng_state(), np.random.get_state()[1].copy()
    list(build_train_loader(cfg, make_schedule(units, cycles=1)))
    assert torch.initial_seed() == expected[0] and torch.equal(torch.random.get_rng_state(), expected[1])
    assert np.array_equal(np.random.get_state()[1], expected[2])


def test_a_negative_seed_is_zero(units, cfg):
    schedule = make_schedule(units, cycles=1)
    zero = list(build_train_loader(cfg, schedule))
    cfg.SEED = -1
    assert all(same(a, b) for a, b in zip(zero, build_train_loader(cfg, schedule), strict=True))


def test_more_processes_than_images_is_refused(units):
    with pytest.raises(ValueError, match=r"stream/box, pass 2.*1 image.*reduce the number of processes"):
        # 5 images in 3 steps: the smallest batch has one.
        CycleBatchSampler(make_schedule(units, batch_size=2), 0, 0, 2)


def test_an_error_names_the_file(units, cfg, monkeypatch):
    entries = DatasetCatalog.get("stream_cls_train")
    monkeypatch.setitem(entries[3], "file_name", entries[3]["file_name"].replace("cls3", "gone3"))
    with pytest.raises(ValueError, match=r"gone3\.png: no such image file"):
        list(build_train_loader(cfg, make_schedule(units)))


class TellingMapper(UnitMapper):
    """Every mapped image says which process mapped it."""

    def __call__(self, *args):
        return super().__call__(*args) | {"process": os.getpid(), "unit": str(self.unit)}


def test_one_pool_trains_all_units(units, cfg, monkeypatch):
    """Two processes make the batches of all units, passes and cycles, in turns: none ends or starts in between."""
    monkeypatch.setattr("fx_d2.data.loader.UnitMapper", TellingMapper)
    cfg.DATALOADER.NUM_WORKERS = 2
    batches = list(build_train_loader(cfg, make_schedule(units, cycles=3)))
    makers = [{entry["process"] for entry in batch} for batch in batches]
    assert all(len(maker) == 1 for maker in makers)
    first, second = makers[0], makers[1]
    assert first != second and os.getpid() not in first | second
    assert makers == [first if number % 2 == 0 else second for number in range(len(batches))]
    assert len({batch[0]["unit"] for batch in batches[::2]}) == len({batch[0]["unit"] for batch in batches[1::2]}) == 3


def test_one_pool_reads_the_splits_of_all_units(units, cfg, monkeypatch):
    monkeypatch.setattr("fx_d2.data.loader.UnitMapper", TellingMapper)
    cfg.DATALOADER.NUM_WORKERS = 2
    makers = [batch[0]["process"] for _, batches in build_test_loader(cfg, units, "test") for batch in batches]
    assert len(makers) == 2 + 2 + 2 and makers == makers[:2] * 3 and len(set(makers) - {os.getpid()}) == 2


def image_ids(batches):
    return [entry["image_id"] for batch in batches for entry in batch]


@pytest.mark.parametrize("workers", [0, 2])
def test_test_images_come_in_order(units, cfg, workers):
    cfg.DATALOADER.NUM_WORKERS = workers
    found = [(unit, list(batches)) for unit, batches in build_test_loader(cfg, units, "test")]
    assert tuple(unit for unit, _ in found) == units
    assert [[len(batch) for batch in batches] for _, batches in found] == [[4, 3], [4, 1], [4, 2]]
    for unit, batches in found:
        assert image_ids(batches) == [f"{unit.task}{i}.png" for i in range(SIZES[unit.task])]
        for entry in (entry for batch in batches for entry in batch):
            assert entry["unit"] == str(unit) and entry["content"] == (0, 0, 16, 16) and "masks" not in entry


def test_what_is_left_of_a_unit_is_not_given_to_the_next(units, cfg):
    found = {unit: next(batches) for unit, batches in build_test_loader(cfg, units, "test")}
    assert [image_ids([batch])[0] for batch in found.values()] == ["cls0.png", "box0.png", "mask0.png"]


def test_no_unit_and_no_image_give_no_batch(units, cfg, monkeypatch):
    assert list(build_test_loader(cfg, [], "test")) == []
    act_as(monkeypatch, 5, 6)
    # Five boxes for six processes: the last one has none, but takes its turn.
    found = {unit: image_ids(batches) for unit, batches in build_test_loader(cfg, units[1:], "test")}
    assert found == {units[1]: [], units[2]: ["mask5.png"]}


def test_test_images_are_shared_by_the_ranks(units, cfg, monkeypatch):
    parts = []
    for rank in range(2):
        act_as(monkeypatch, rank, 2)
        parts.append([image_ids(batches) for _, batches in build_test_loader(cfg, units[1:2], "test")])
    assert parts == [[["box0.png", "box1.png", "box2.png"]], [["box3.png", "box4.png"]]]


def test_missing_and_empty_splits_are_named(units, cfg):
    assert unit_sizes(units) == {unit: SIZES[unit.task] for unit in units}
    with pytest.raises(ValueError, match="stream/cls: split 'val' has no image"):
        build_test_loader(cfg, units, "val")
    with pytest.raises(ValueError, match="stream/cls has no split 'tset'.*did you mean 'stream_cls_test'"):
        unit_sizes(units, "tset")


RECORDS = [{"image_id": f"image {i}", "file_name": f"{i}.png", "unit": "one/cls"} for i in range(40)]


def test_fewer_are_a_part_of_more_whatever_else_a_record_holds():
    three, twelve = few_shot(RECORDS, 3, seed=1), few_shot(RECORDS, 12, seed=1)
    assert len(three) == 3 and len(twelve) == 12
    assert all(record in twelve for record in three)
    others = [{"image_id": record["image_id"], "annotations": []} for record in reversed(RECORDS)]
    assert {r["image_id"] for r in few_shot(others, 12, seed=1)} == {r["image_id"] for r in twelve}
    assert twelve == [record for record in RECORDS if record in twelve]


def test_another_seed_chooses_others():
    chosen = {tuple(r["image_id"] for r in few_shot(RECORDS, 6, seed)) for seed in range(5)}
    assert len(chosen) == 5


def test_none_and_too_many():
    assert few_shot(RECORDS, 0, seed=0) == RECORDS
    with pytest.raises(ValueError, match="DATASETS.FEW_SHOT asks for 41 training images, one/cls has 40"):
        few_shot(RECORDS, 41, seed=0)
