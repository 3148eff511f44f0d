"""The mapper on tiny pictures with hand-made truth."""

import copy

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode

from fx_d2.config import get_fx_cfg
from fx_d2.data.augmentation import Geometry, Photometry
from fx_d2.data.caching.reader import ImageReader
from fx_d2.data.errors import DataError
from fx_d2.data.mapper import UnitMapper, mirror_index
from fx_d2.data.masks import decode_masks
from fx_d2.phantoms.writing import write_dicom
from fx_d2.schedule import Unit

SIDE = 32
CLASSES = ("Left Lung", "Heart", "Right Lung")
PAIRS = (("Left Lung", "Right Lung"),)
FLIP = Geometry(size=SIDE, flip=1.0)
PLAIN = Geometry(size=SIDE)
JITTER = Photometry(0.1, 0.2, 0.2)


@pytest.fixture
def record(tmp_path):
    """A picture that is bright on the left, with truth of all three tasks (each mapper takes its own)."""
    image = np.full((SIDE, SIDE), 90, np.uint8)
    image[:, :16] = np.arange(100, 132)[:, None]
    path = tmp_path / "x.png"
    cv2.imwrite(str(path), image)
    xywh = BoxMode.XYWH_ABS
    return {
        "file_name": str(path),
        "image_id": "x.png",
        "height": SIDE,
        "width": SIDE,
        "unit": "toy/any",
        "labels": [1.0, 0.0, float("nan")],
        "annotations": [
            {
                "bbox": [2.0, 4.0, 6.0, 8.0],
                "bbox_mode": xywh,
                "category_id": 0,
                "iscrowd": 0,
                "segmentation": [[2, 4, 8, 4, 8, 12, 2, 12]],
            },
            {
                "bbox": [10.0, 10.0, 10.0, 5.0],
                "bbox_mode": xywh,
                "category_id": 1,
                "iscrowd": 0,
                "segmentation": [[10, 10, 20, 10, 20, 15, 10, 15]],
            },
        ],
        "unknown_classes": [2],
    }


def mapper(task, geometry=PLAIN, photometry=None, **options):
    options = {"classes": CLASSES, "lateral_pairs": PAIRS, **options}
    return UnitMapper(unit=Unit("toy", task), geometry=geometry, photometry=photometry or Photometry(), **options)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_everything_off_gives_the_file(record):
    output = mapper("cls")(record, rng())
    assert output["image"].dtype == torch.uint8 and output["image"].shape == (1, SIDE, SIDE)
    assert np.array_equal(output["image"][0].numpy(), cv2.imread(record["file_name"], cv2.IMREAD_GRAYSCALE))
    assert torch.equal(output["labels"].nan_to_num(-1), torch.tensor([1.0, 0.0, -1.0]))
    assert set(output) == {"image", "labels", "file_name", "image_id", "height", "width", "unit"}
    assert (output["unit"], output["image_id"], output["height"]) == ("toy/cls", "x.png", SIDE)


def test_a_flip_exchanges_lateral_labels(record):
    output = mapper("cls", FLIP)(record, rng())
    assert torch.equal(output["labels"].nan_to_num(-1), torch.tensor([-1.0, 0.0, 1.0]))
    assert output["labels"].dtype == torch.float32
    assert np.array_equal(output["image"][0].numpy()[:, ::-1], mapper("cls")(record, rng())["image"][0].numpy())


def test_a_flip_mirrors_boxes_and_exchanges_their_classes(record):
    plain, flipped = (mapper("box", geometry)(record, rng())["instances"] for geometry in (PLAIN, FLIP))
    assert plain.gt_boxes.tensor.tolist() == [[2, 4, 8, 12], [10, 10, 20, 15]]
    assert plain.gt_classes.tolist() == [0, 1] and plain.image_size == (SIDE, SIDE)
    assert flipped.gt_boxes.tensor.tolist() == [[24, 4, 30, 12], [12, 10, 22, 15]]
    assert flipped.gt_classes.tolist() == [2, 1]
    assert flipped.gt_boxes.tensor.dtype == torch.float32 and flipped.gt_classes.dtype == torch.int64


def test_a_flip_mirrors_masks_and_exchanges_their_channels(record):
    plain, flipped = (mapper("mask", geometry)(record, rng())["masks"] for geometry in (PLAIN, FLIP))
    expected = np.zeros((3, SIDE, SIDE), np.uint8)
    expected[0, 4:12, 2:8] = 1
    expected[1, 10:15, 10:20] = 1
    expected[2] = 255
    assert plain.dtype == torch.uint8 and np.array_equal(plain.numpy(), expected)
    assert np.array_equal(flipped.numpy(), expected[[2, 1, 0], :, ::-1])


def test_outside_of_the_image_a_known_mask_is_empty_and_an_unknown_one_unknown(record):
    small = Geometry(size=SIDE, scale=(0.5, 0.5))
    output = mapper("mask", small)(record, rng())
    frame = torch.ones(SIDE, SIDE, dtype=torch.bool)
    frame[8:24, 8:24] = False
    assert (output["masks"][:2, frame] == 0).all() and (output["masks"][2] == 255).all()
    assert output["masks"][0].sum() == 4 * 3  # 8 x 6 pixels at half the size
    assert (output["image"][0][frame] == 0).all()


def test_masks_move_as_if_each_channel_were_drawn_in_full(record):
    """Drawing only what is there gives what moving every channel of the whole array gives, unknown ones included."""
    record["annotations"].append({**record["annotations"][1], "category_id": 2})  # drawn and unknown: unknown
    wild = mapper("mask", Geometry(size=SIDE, rotation=20, scale=(0.7, 1.2), shift=0.1))
    found = wild(record, rng(3))["masks"].numpy()
    transform, whole = wild.geometry.draw(rng(3), SIDE, SIDE), decode_masks(record, 3)
    for channel, source in zip(found, whole, strict=True):
        known = source[0, 0] != 255
        assert np.array_equal(channel, transform.apply_segmentation(source) if known else np.full_like(channel, 255))
    assert found[0].any() and found[1].any() and (found[2] == 255).all()


def test_crowd_boxes_are_not_trained_on(record):
    record["annotations"][0]["iscrowd"] = 1
    assert mapper("box")(record, rng())["instances"].gt_classes.tolist() == [1]


def test_an_image_without_a_box_is_a_negative(record):
    record["annotations"] = []
    instances = mapper("box", Geometry(size=SIDE, crop_area=(0.3, 1.0)))(record, rng())["instances"]
    assert len(instances) == 0 and instances.gt_boxes.tensor.shape == (0, 4)


def test_box_centres_survive_crops(record):
    strong = mapper("box", Geometry(size=SIDE, crop_area=(0.1, 0.2), flip=0.5))
    assert all(len(strong(record, rng(seed))["instances"]) == 2 for seed in range(30))


def test_teacher_sees_the_same_geometry_in_another_light(record):
    geometry = Geometry(size=48, rotation=10, crop_area=(0.5, 1.0), flip=0.5)
    output = mapper("cls", geometry, JITTER, teacher_view=True)(record, rng(4))
    student, teacher = output["image"][0].numpy(), output["image_teacher"][0].numpy()
    assert student.dtype == teacher.dtype == np.uint8 and (student != teacher).mean() > 0.5
    # One geometry: both are functions of the same view, level by level.
    view = mapper("cls", geometry)(record, rng(4))["image"][0].numpy()
    for image in (student, teacher):
        assert all(len(np.unique(image[view == level])) == 1 for level in np.unique(view))


def test_the_teacher_view_leaves_the_students_alone(record):
    with_view = mapper("mask", FLIP, JITTER, teacher_view=True)(record, rng(4))
    without = mapper("mask", FLIP, JITTER)(record, rng(4))
    assert "image_teacher" not in without
    assert torch.equal(with_view["image"], without["image"]) and torch.equal(with_view["masks"], without["masks"])


@pytest.mark.parametrize("letterbox", [True, False])
def test_inference_draws_nothing_and_gives_no_truth(tmp_path, record, letterbox):
    image = np.full((40, 20), 77, np.uint8)
    cv2.imwrite(record["file_name"], image)
    record.update(height=40, width=20)
    wild = Geometry(size=SIDE, letterbox=letterbox, crop_area=(0.2, 0.5), rotation=40, flip=1.0)
    output = mapper("box", wild, JITTER, teacher_view=True, train=False)(record)
    assert set(output) == {"image", "content", "file_name", "image_id", "height", "width", "unit"}
    assert output["content"] == ((8, 0, 24, 32) if letterbox else (0, 0, 32, 32))
    assert (output["height"], output["width"]) == (40, 20)
    x0, y0, x1, y1 = map(int, output["content"])
    assert (output["image"][0, y0:y1, x0:x1] == 77).all()


@pytest.mark.parametrize("task", ["cls", "box", "mask"])
def test_the_dataset_dict_is_left_alone(record, task):
    before = copy.deepcopy(record)
    mapper(task, FLIP, JITTER)(record, rng())
    assert repr(record) == repr(before)


def test_equal_generators_give_equal_views(record):
    wild = mapper("mask", Geometry(size=SIDE, rotation=20, flip=0.5, shift=0.1), JITTER, teacher_view=True)
    one, two, other = (wild(record, rng(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(one[key], two[key]) for key in ("image", "image_teacher", "masks"))
    assert not torch.equal(one["image"], other["image"])


def test_errors_name_the_file(record):
    def fails(task, **change):
        with pytest.raises(DataError, match="x.png") as caught:
            mapper(task)({**record, **change}, rng())
        return str(caught.value)

    assert "32 x 32" in fails("cls", width=31)
    assert "2 labels for 3 classes" in fails("cls", labels=[1, 0])
    broken = {key: record[key] for key in record if key != "annotations"}
    with pytest.raises(DataError, match="x.png.*annotations"):
        mapper("box")(broken, rng())
    with pytest.raises(DataError, match="x.png.*random generator"):
        mapper("cls")(record)


def test_mirror_index():
    assert mirror_index(CLASSES, PAIRS).tolist() == [2, 1, 0]
    assert mirror_index(CLASSES, []).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="did you mean 'Left Lung'"):
        mirror_index(CLASSES, [("Left Lnug", "Right Lung")])


@pytest.mark.parametrize("may_flip", [True, False])
def test_from_config(request, may_flip):
    name = f"mapper_toy_{may_flip}"
    DatasetCatalog.register(f"{name}_mask_train", list)
    request.addfinalizer(lambda: (DatasetCatalog.pop(f"{name}_mask_train"), MetadataCatalog.pop(f"{name}_mask_train")))
    MetadataCatalog.get(f"{name}_mask_train").set(
        thing_classes=list(CLASSES), lateral_pairs=[list(PAIRS[0])], flip=may_flip, unit=f"{name}/mask"
    )
    cfg = get_fx_cfg()
    cfg.INPUT.SIZE, cfg.INPUT.FLIP.MASK, cfg.INPUT.SHIFT.MASK, cfg.INPUT.GAMMA = 48, 0.25, 0.125, 0.5
    built = UnitMapper(cfg, Unit(name, "mask"), train=True)
    assert built.geometry == Geometry(48, False, (1.0, 1.0), 10.0, (0.9, 1.1), 0.125, 0.25 if may_flip else 0.0)
    assert built.photometry == Photometry(0.1, 0.2, 0.5)
    assert built.teacher_view and built.train and built.mirror.tolist() == [2, 1, 0]


def test_a_reduced_copy_gives_the_same_view(tmp_path):
    """Truth refers to the whole image; a view of a copy of half its size shows the same thing at the same place."""
    y, x = np.mgrid[:240, :320]
    image = (120 + 80 * np.sin(x / 15) * np.cos(y / 25) + 40 * (x > 200)).round().astype(np.uint8)
    write_dicom(tmp_path / "x.dcm", image)
    record = {
        "file_name": str(tmp_path / "x.dcm"),
        "image_id": "x",
        "height": 240,
        "width": 320,
        "annotations": [{"bbox": [40, 60, 80, 90], "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0}],
    }
    geometry = Geometry(size=48, rotation=20, crop_area=(0.5, 0.9), shift=0.1, flip=0.5)
    for reader in (ImageReader(side=160), ImageReader(160, "auto", tmp_path / "cache", 10**6)):
        for seed in range(4):
            whole = mapper("box", geometry)(record, rng(seed))
            reduced = mapper("box", geometry, read=reader)(record, rng(seed))
            assert reduced["height"] == 240 and reduced["width"] == 320
            assert torch.equal(whole["instances"].gt_boxes.tensor, reduced["instances"].gt_boxes.tensor)
            difference = (whole["image"].float() - reduced["image"].float()).abs()
            assert difference.mean() < 1.5 and (difference > 20).float().mean() < 0.01
    with pytest.raises(DataError, match=r"320 x 240 pixels.*321 x 240"):
        mapper("box", read=ImageReader(side=160))({**record, "width": 321}, rng())


def test_the_configured_reader_is_used(tmp_path, fresh_catalog, monkeypatch):
    cfg = get_fx_cfg()
    cfg.INPUT.READ_SIDE, cfg.INPUT.CACHE.DIR = 99, str(tmp_path)
    monkeypatch.setattr("fx_d2.data.mapper.unit_metadata", lambda unit: FakeMetadata)
    read = UnitMapper(cfg, Unit("toy", "cls"), train=False).read
    assert read.side == 99 and read.mode == "auto" and read.store.folder == tmp_path / "images"


class FakeMetadata:
    thing_classes, lateral_pairs, flip = CLASSES, PAIRS, True
