"""Exported files against the network, run by the library that reads them, with other numbers of images than traced."""

import json

import numpy as np
import pytest
import torch

from fx_d2 import Predictor
from fx_d2.commands import export as export_model
from fx_d2.data.images import read_image
from fx_d2.export.formats import FORMATS
from fx_d2.export.graph import ExportGraph
from fx_d2.export.parity import largest_differences
from fx_d2.modeling.gate import RegionGate
from fx_d2.prediction.weights import load_networks
from fx_d2.schedule import Unit
from tests.tiny import SIDE, make_model

pytestmark = pytest.mark.usefixtures("fresh_catalog")


def skip_without_onnx(kind):
    if kind == "onnx":
        pytest.importorskip("onnx", reason="the extra 'export' is not installed")
        pytest.importorskip("onnxruntime", reason="the extra 'export' is not installed")


@pytest.mark.parametrize("task", ["cls", "box", "mask", "gated mask"])
@pytest.mark.parametrize("kind", ["onnx", "torchscript"])
def test_exported_files_equal_the_network(kind, task, tmp_path):
    skip_without_onnx(kind)
    gate = RegionGate("always" if task == "gated mask" else "off", score=0.01)
    task = task.split()[-1]
    graph = ExportGraph(make_model("shared", gate=gate), [Unit("two", task)], SIDE)
    ending, write, load = FORMATS[kind]
    write(graph, tmp_path / f"m{ending}")
    run = load(tmp_path / f"m{ending}")
    for batch in (1, 3):
        images = graph.example(batch, seed=batch)
        for expected, got in zip(graph(images), run(images.numpy()), strict=True):
            np.testing.assert_allclose(got, expected.numpy(), atol=2e-6)
    assert largest_differences(graph, run)[f"two/{task}"] < 2e-6


def test_torch_export_equals_the_network(tmp_path):
    """All three paths in one graph, of one layer each: this exporter is slow."""
    network = make_model("shared")
    head = network.heads["box"]
    head.encoder.layers = head.encoder.layers[:1]
    head.decoders["shared"].layers = head.decoders["shared"].layers[:1]
    for stage in network.backbone.layers:
        stage.blocks = stage.blocks[1:]  # the shifted ones
    graph = ExportGraph(network, [Unit("two", "cls"), Unit("one", "box"), Unit("two", "mask")], SIDE)
    ending, write, load = FORMATS["torch_export"]
    write(graph, tmp_path / f"m{ending}")
    differences = largest_differences(graph, load(tmp_path / f"m{ending}"))
    assert set(differences) == {"two/cls", "one/box", "two/mask"} and max(differences.values()) < 2e-6


@pytest.mark.parametrize("gate", ["off", "always"])
def test_a_graph_equals_the_predictor(trained, gate):
    """On an image as large as the input, so that nothing is resized."""
    cfg = trained.cfg.clone()
    cfg.MODEL.WEIGHTS = trained.weights
    # Random weights find every box with a score of about 0.01: half of them gate.
    cfg.MODEL.MASK.GATE.WHEN, cfg.MODEL.MASK.GATE.SCORE = gate, 0.01
    network = load_networks(cfg)["teacher"]
    graph = ExportGraph(network, list(network.classes), SIDE)
    image = read_image(trained.images[0])[:SIDE, :SIDE].copy()
    outputs = dict(zip(graph.names, graph(torch.from_numpy(image)[None, None].float()), strict=True))
    prediction = Predictor.from_network(cfg, network)(image)
    torch.testing.assert_close(
        outputs["phantom_heart_cls_scores"][0], prediction.outputs[Unit.parse("phantom_heart/cls")]["scores"]
    )
    torch.testing.assert_close(
        outputs["phantom_heart_mask_masks"][0], prediction.outputs[Unit.parse("phantom_heart/mask")]["masks"]
    )
    boxes = prediction.instances("phantom_heart/box").pred_boxes.tensor
    torch.testing.assert_close((outputs["phantom_heart_box_boxes"][0] * SIDE).clamp(0, SIDE), boxes)


def test_the_tool_writes_a_file_and_says_what_is_in_it(trained, tmp_path, capsys):
    skip_without_onnx("onnx")
    import onnx

    arguments = ["--config-file", trained.config, "--output", str(tmp_path), "--units", "phantom_emergency/cls"]
    export_model.main([*arguments, "MODEL.WEIGHTS", trained.weights])
    assert "largest difference from the network" in capsys.readouterr().out
    described = json.loads((tmp_path / "model.onnx.json").read_text())
    assert described["units"]["phantom_emergency/cls"]["classes"] == ["Normal", "Pneumothorax", "Consolidation"]
    assert described["units"]["phantom_emergency/cls"]["exclusive"] is True
    model = onnx.load(str(tmp_path / "model.onnx"))
    for value, entry in zip(
        (*model.graph.input, *model.graph.output), (described["input"], *described["outputs"]), strict=True
    ):
        assert value.name == entry["name"]
        dims = [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        assert dims == entry["shape"]
    assert described["largest_difference"]["phantom_emergency/cls"] < 1e-5


def test_a_file_that_differs_is_noticed(tmp_path):
    graph = ExportGraph(make_model(), [Unit("two", "cls"), Unit("one", "box")], SIDE)

    def run(images):
        scores, box_scores, classes, boxes = (value.numpy() for value in graph(torch.from_numpy(images)))
        order = np.argsort(box_scores, axis=1)  # another order is the same
        boxes = np.take_along_axis(boxes, order[..., None], 1)
        return scores + 0.25, np.take_along_axis(box_scores, order, 1), np.take_along_axis(classes, order, 1), boxes

    found = largest_differences(graph, run)
    assert found["two/cls"] == pytest.approx(0.25) and found["one/box"] == 0
    moved = largest_differences(graph, lambda images: [v.numpy() + 0.1 for v in graph(torch.from_numpy(images))])
    assert moved["one/box"] > 0.09
