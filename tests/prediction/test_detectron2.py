"""Detectron2's own predictor and visualizer on our networks: the numbers of fx_d2.Predictor, drawn with our classes."""

import cv2
import numpy as np
import pytest
import torch
from detectron2.engine import DefaultPredictor
from detectron2.utils.visualizer import Visualizer

import fx_d2
from fx_d2.data.catalog import register_datasets
from fx_d2.prediction.options import read_config
from tests.trained import UNITS

pytestmark = pytest.mark.usefixtures("fresh_catalog")


def run_config(trained, *pairs):
    cfg = fx_d2.get_fx_cfg()
    cfg.merge_from_file(trained.config)
    cfg.merge_from_list(["MODEL.WEIGHTS", trained.weights, *pairs])
    register_datasets(cfg.DATASETS.FILES)
    return cfg


@pytest.fixture
def colour(tmp_path):
    """A picture in colour that is not square; the network sees it in grey."""
    pixels = np.random.default_rng(0).integers(0, 256, (75, 130, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "colour.png"), cv2.GaussianBlur(pixels, (0, 0), 6))
    return tmp_path / "colour.png"


@pytest.mark.parametrize("letterbox", [False, True])
@pytest.mark.parametrize("unit", ["phantom_screen/cls", "phantom_emergency/box", "phantom_heart/mask"])
def test_the_numbers_of_our_predictor(trained, colour, unit, letterbox):
    name = f"{unit.replace('/', '_')}_test"
    cfg = run_config(trained, "DATASETS.TEST", (name,), "INPUT.LETTERBOX", letterbox)
    ours = fx_d2.Predictor.from_config(cfg, units=unit, model="student")
    for order in ("BGR", "RGB"):
        cfg.INPUT.FORMAT = order
        theirs = DefaultPredictor(cfg)
        for path in (trained.images[3], colour):  # of 8 bits: cv2.imread cuts deeper ones, read_image rounds
            (expected,) = ours(str(path)).outputs.values()
            found = theirs(cv2.imread(str(path)))
            assert found.keys() == expected.keys()
            for key in found.keys() - {"instances"}:
                torch.testing.assert_close(found[key], expected[key], rtol=0, atol=0)
            if "instances" in found:
                for field, value in expected["instances"].get_fields().items():
                    got = found["instances"].get(field)
                    got, value = (v.tensor if hasattr(v, "tensor") else v for v in (got, value))
                    torch.testing.assert_close(got, value, rtol=0, atol=0)


@pytest.mark.parametrize("unit", ["phantom_heart/box", "phantom_heart/mask"])
def test_the_visualizer_draws_them(trained, unit):
    cfg = run_config(trained, "DATASETS.TEST", (f"{unit.replace('/', '_')}_test",))
    predictor, image = DefaultPredictor(cfg), cv2.imread(str(trained.images[0]))
    instances = predictor(image)["instances"]
    best = instances[instances.scores.argsort(descending=True)[:2]]
    visualizer = Visualizer(image[:, :, ::-1], predictor.metadata)
    texts = []
    visualizer.draw_text = lambda text, *args, **kwargs: texts.append(text)
    drawn = visualizer.draw_instance_predictions(best.to("cpu")).get_image()
    classes = predictor.metadata.thing_classes
    assert {text.rpartition(" ")[0] for text in texts} == {classes[k] for k in best.pred_classes}
    assert drawn.shape == image.shape and (drawn != image).any()


def test_the_only_unit_needs_no_name(trained):
    cfg = run_config(trained, "FX.CYCLE.UNITS", ["phantom_heart/cls"])
    scores = DefaultPredictor(cfg)(cv2.imread(str(trained.images[3])))["scores"]
    expected = fx_d2.Predictor.from_config(cfg, model="student")(str(trained.images[3])).scores("phantom_heart/cls")
    assert scores.tolist() == list(expected.values())


def test_one_message_each(trained):
    image = cv2.imread(str(trained.images[0]))
    with pytest.raises(
        ValueError, match=r"several units .* set DATASETS.TEST .*mine_box_test.* or use fx_d2.Predictor"
    ):
        DefaultPredictor(run_config(trained))(image)
    with pytest.raises(
        ValueError, match=r"'phantom_hart_box_test' is no split .* did you mean 'phantom_heart_box_test'"
    ):
        DefaultPredictor(run_config(trained, "DATASETS.TEST", ("phantom_hart_box_test",)))
    predictor = DefaultPredictor(run_config(trained, "DATASETS.TEST", ("phantom_heart_box_test",)))
    with pytest.raises(ValueError, match=r"values 0..255, not \(3, \d+, \d+\) with .*read_image"):
        predictor(image.astype(np.uint16) * 257)


def test_a_training_refuses_the_key(trained):
    cfg = run_config(trained, "DATASETS.TEST", ("phantom_heart_box_test",))
    with pytest.raises(ValueError, match=r"DATASETS.TEST has no effect .* FX.EVAL.SPLIT; it chooses the unit of"):
        fx_d2.config.check_config(cfg)


def test_images_of_the_networks_own_size_are_left_alone(trained):
    """What the mapper gives, and a grey square with its unit, reach the network as they are."""
    network = DefaultPredictor(run_config(trained)).model
    square = {"image": torch.zeros(1, 64, 64, dtype=torch.uint8), "unit": UNITS[0]}
    assert network.raw.fit(square) is square
    mapped = {"image": torch.zeros(1, 70, 60, dtype=torch.uint8), "content": (0.0, 0.0, 60.0, 70.0)}
    assert network.raw.fit(mapped) is mapped


def test_an_older_configuration_is_read(trained):
    """Before, the key had Detectron2's value; a run's config.yaml holds it."""
    cfg = read_config(trained.config)
    cfg.defrost()
    cfg.INPUT.MIN_SIZE_TEST = 800
    register_datasets(cfg.DATASETS.FILES)
    fx_d2.config.check_config(cfg)
