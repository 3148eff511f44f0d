"""The predictor against Detectron2's own way of calling the network, unit by unit; what it refuses."""

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog

import fx_d2
from fx_d2.checkpoint.export import export_weights
from fx_d2.data.catalog import clear_datasets, register_datasets
from fx_d2.data.errors import DataError
from fx_d2.data.images import read_image
from fx_d2.data.mapper import UnitMapper
from fx_d2.prediction.options import parse_units, read_config
from fx_d2.prediction.weights import load_networks
from fx_d2.schedule import Unit
from tests.trained import UNITS

pytestmark = pytest.mark.usefixtures("fresh_catalog")


@pytest.fixture
def predictor(trained):
    return fx_d2.Predictor.from_config(trained.config, trained.weights, batch=2)


def test_equals_the_network_called_unit_by_unit(trained, predictor):
    predictions = predictor(trained.images)
    register_datasets(trained.cfg.DATASETS.FILES)
    for unit in map(Unit.parse, UNITS):
        mapper = UnitMapper(trained.cfg, unit, False)
        for path, prediction in zip(trained.images, predictions, strict=True):
            height, width = read_image(path).shape
            record = {"file_name": str(path), "image_id": path.name, "height": height, "width": width}
            with torch.no_grad():
                (expected,) = predictor.network([mapper(record)])
            output = prediction.outputs[unit]
            if unit.task == "cls":
                torch.testing.assert_close(output["scores"], expected["scores"])
                continue
            assert output["instances"].image_size == (height, width) == (prediction.height, prediction.width)
            torch.testing.assert_close(output["instances"].scores, expected["instances"].scores)
            boxes = (output["instances"].pred_boxes.tensor, expected["instances"].pred_boxes.tensor)
            torch.testing.assert_close(*boxes, atol=1e-3, rtol=1e-4)
            if unit.task == "mask":
                torch.testing.assert_close(output["masks"], expected["masks"])


def test_one_pass_of_the_backbone_for_all_heads(trained, predictor, monkeypatch):
    calls = []
    forward = predictor.network.backbone.forward
    monkeypatch.setattr(predictor.network.backbone, "forward", lambda x: (calls.append(len(x)), forward(x))[1])
    predictor(trained.images)
    assert calls == [2, 2, 1]


def test_tasks_with_other_pixels_get_a_pass_of_their_own(trained):
    cfg = trained.cfg.clone()
    cfg.MODEL.PIXEL.MASK.MEAN = [0.1]
    cfg.MODEL.WEIGHTS = trained.weights
    other = fx_d2.Predictor.from_config(cfg)
    register_datasets(trained.cfg.DATASETS.FILES)
    unit = Unit.parse("phantom_heart/mask")
    image = read_image(trained.images[0])
    height, width = image.shape
    record = {"file_name": str(trained.images[0]), "image_id": "a", "height": height, "width": width}
    with torch.no_grad():
        (expected,) = other.network([UnitMapper(cfg, unit, False)(record)])
    torch.testing.assert_close(other(image).outputs[unit]["masks"], expected["masks"])
    same = fx_d2.Predictor.from_config(trained.config, trained.weights)(image)
    assert not torch.allclose(same.outputs[unit]["masks"], expected["masks"], atol=1e-4)


def test_files_are_read_as_the_training_read_them(trained, tmp_path):
    """A washed-out file: by INPUT.GREY range it is predicted like the array that was stretched by hand."""
    grey = read_image(trained.images[0])
    cv2.imwrite(str(tmp_path / "a.png"), 30000 + grey.astype(np.uint16))
    cfg = trained.cfg.clone()
    cfg.MODEL.WEIGHTS, cfg.INPUT.GREY = trained.weights, "range"
    low, high = np.quantile(grey, (0.001, 0.999), method="inverted_cdf").astype(float)
    stretched = np.rint((grey.clip(low, high) - low) * (255 / (high - low))).astype(np.uint8)
    predictor = fx_d2.Predictor.from_config(cfg)
    unit = Unit.parse("phantom_screen/cls")
    scores = [
        predictor(image).outputs[unit]["scores"] for image in (tmp_path / "a.png", stretched, np.full_like(grey, 117))
    ]
    torch.testing.assert_close(scores[0], scores[1])
    assert not torch.allclose(scores[0], scores[2], atol=1e-4)  # 30,000 of 65,535 is 117: what "declared" would give
    register_datasets(trained.cfg.DATASETS.FILES)
    record = {"file_name": str(tmp_path / "a.png"), "image_id": "a"}
    plain = {**record, "file_name": str(tmp_path / "b.png")}
    cv2.imwrite(plain["file_name"], stretched)
    assert torch.equal(UnitMapper(cfg, unit, False)(record)["image"], UnitMapper(cfg, unit, False)(plain)["image"])


def test_arrays_files_and_lists_agree(trained, predictor):
    path = trained.images[0]
    by_file, by_array = predictor(path), predictor([read_image(path)])[0]
    assert by_file.name == str(path) and by_array.name == "array 1"
    assert by_file.scores("phantom_screen/cls") == pytest.approx(by_array.scores("phantom_screen/cls"))
    assert sum(by_file.scores("phantom_emergency/cls").values()) == pytest.approx(1, abs=1e-5)  # exclusive
    assert predictor([]) == []


def test_student_and_teacher_differ_and_units_can_be_chosen(trained, predictor):
    student = fx_d2.Predictor.from_config(
        trained.config, trained.weights, "phantom_heart/cls, phantom_heart/box", "student"
    )
    prediction = student(trained.images[0])
    assert list(map(str, prediction.outputs)) == ["phantom_heart/cls", "phantom_heart/box"]
    teacher = predictor(trained.images[0]).scores("phantom_heart/cls")
    assert prediction.scores("phantom_heart/cls") != pytest.approx(teacher, abs=1e-4)
    strict = prediction.instances("phantom_heart/box", 0.5)
    assert (strict.scores >= 0.5).all() and len(strict) <= len(prediction.instances("phantom_heart/box"))


def test_the_files_of_the_datasets_need_not_be_there(trained, tmp_path, monkeypatch):
    """A run's checkpoint and configuration alone predict, also with classes that exclude each other."""
    expected = fx_d2.Predictor.from_config(trained.config, trained.weights)(trained.images[0])
    cfg = trained.cfg.clone()
    cfg.DATASETS.FILES = [str(tmp_path / "gone.yaml")]
    clear_datasets()
    alone = fx_d2.Predictor.from_config(cfg, trained.weights)(trained.images[0])
    assert "phantom_screen_cls_train" not in DatasetCatalog.list()
    for unit in ("phantom_screen/cls", "phantom_emergency/cls"):
        assert alone.scores(unit) == pytest.approx(expected.scores(unit))


def test_an_older_checkpoint_asks_for_the_dataset_file(trained, tmp_path):
    stored = torch.load(trained.weights)
    del stored["exclusive"]
    torch.save(stored, tmp_path / "old.pth")
    fx_d2.Predictor.from_config(trained.config, tmp_path / "old.pth")  # the YAML file says it
    cfg = trained.cfg.clone()
    cfg.DATASETS.FILES = [str(tmp_path / "gone.yaml")]
    clear_datasets()
    with pytest.raises(DataError, match="exclude each other.*gone.yaml"):
        fx_d2.Predictor.from_config(cfg, tmp_path / "old.pth")


def test_a_head_without_weights_is_refused(trained, tmp_path):
    stored = torch.load(trained.weights)
    stored["model"] = {k: v for k, v in stored["model"].items() if "cls.branches.phantom_heart" not in k}
    torch.save(stored, tmp_path / "part.pth")
    with pytest.raises(ValueError, match=r"lacks heads.cls.branches.phantom_heart.weight.*FX.CYCLE.UNITS"):
        fx_d2.Predictor.from_config(trained.config, tmp_path / "part.pth")


def test_a_file_without_a_teacher(trained, tmp_path):
    stored = torch.load(trained.weights)
    del stored["teacher"]
    torch.save(stored, tmp_path / "student.pth")
    with pytest.raises(ValueError, match="holds no teacher; it has: student"):
        fx_d2.Predictor.from_config(trained.config, tmp_path / "student.pth", model="teacher")
    assert list(load_networks(read_config(trained.config, tmp_path / "student.pth"))) == ["student"]


def test_an_exported_teacher_predicts_what_the_teacher_does(trained, predictor, tmp_path):
    export_weights(trained.weights, tmp_path / "teacher.safetensors", "teacher")
    exported = fx_d2.Predictor.from_config(trained.config, tmp_path / "teacher.safetensors")
    expected, got = predictor(trained.images[0]), exported(trained.images[0])
    for unit in ("phantom_screen/cls", "phantom_emergency/cls"):
        assert got.scores(unit) == pytest.approx(expected.scores(unit))


def test_bad_images(trained, predictor, tmp_path):
    torn = tmp_path / "torn.png"
    torn.write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match="torn.png"):
        predictor([trained.images[0], torn])
    failed = []
    good = list(predictor.stream([trained.images[0], torn, trained.images[1]], lambda name, error: failed.append(name)))
    assert [p.name for p in good] == [str(trained.images[0]), str(trained.images[1])] and failed == [str(torn)]
    for array in (np.zeros((4, 4)), np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4), np.uint8)):
        with pytest.raises(DataError, match="an array must be uint8 of shape"):
            predictor(array)


def test_a_file_that_may_not_be_read_is_one_failure(trained, predictor, monkeypatch):
    def refuse(path, grey):
        if path == trained.images[1]:
            raise PermissionError(13, "Permission denied", str(path))
        return read_image(path, grey)

    monkeypatch.setattr("fx_d2.prediction.sources.read_image", refuse)
    failed = []
    good = list(predictor.stream(trained.images[:3], lambda name, error: failed.append(str(error))))
    assert len(good) == 2 and len(failed) == 1 and "Permission denied" in failed[0]


@pytest.mark.parametrize("task", ["cls", "box", "mask"])
def test_scores_that_are_no_numbers_are_an_error(trained, predictor, task):
    with torch.no_grad():
        for parameter in predictor.network.heads[task].parameters():
            parameter.fill_(float("nan"))
    with pytest.raises(DataError, match=rf"{trained.images[0].name}: phantom_\w+/{task} gives scores that are not"):
        predictor(trained.images[0])


def test_bad_options(trained):
    known = [Unit.parse(name) for name in UNITS]
    assert parse_units("phantom_heart/box,phantom_heart/box", known) == [Unit("phantom_heart", "box")]
    with pytest.raises(ValueError, match="did you mean 'phantom_heart/box'"):
        parse_units("phantom_hart/box", known)
    with pytest.raises(ValueError, match="must be one of auto, teacher, student"):
        fx_d2.Predictor.from_config(trained.config, trained.weights, model="both")
    with pytest.raises(FileNotFoundError, match="check MODEL.WEIGHTS"):
        fx_d2.Predictor.from_config(trained.config, "nowhere.pth")
    with pytest.raises(ValueError, match="MODEL.WEIGHTS is empty"):
        fx_d2.Predictor.from_config(trained.config)


def test_one_pixel_and_extreme_shapes(predictor, tmp_path):
    for shape in ((1, 1), (7, 300)):
        cv2.imwrite(str(tmp_path / "x.png"), np.full(shape, 90, np.uint8))
        prediction = predictor(tmp_path / "x.png")
        assert prediction.outputs[Unit.parse("phantom_heart/mask")]["masks"].shape == (3, *shape)
