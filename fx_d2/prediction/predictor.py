"""All heads of a network over images, from one pass of the backbone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from detectron2.config import CfgNode

from ..data.augmentation import Geometry
from ..data.errors import DataError
from ..engine.precision import Precision
from ..modeling import FoundationX
from ..modeling.heads.contract import UnitClasses
from ..schedule import Unit
from .cardiothoracic import CardiothoracicRatio
from .findings import Finding, FindingMap
from .operating_points import Calls, OperatingPoints, UnitPoints, call_findings
from .options import choose_network, parse_units, read_config
from .organs import find_organs, measure_organs
from .packaged import packaged_config
from .sources import Source, column_spacing, read_ahead
from .weights import load_networks

OnError = Callable[[str, Exception], None]


@dataclass(frozen=True)
class Prediction:
    """What the heads say about one image; everything is on the CPU and in original pixels.

    Attributes:
        name: the file as it was named, or ``array N``.
        image: the radiograph as it was read, uint8 (H, W).
        classes: class names of each unit, in the order of its outputs.
        outputs: by unit ``scores`` float (K,); or ``instances`` (Detectron2: ``pred_boxes``, ``scores``,
            ``pred_classes``), best first; or ``masks`` float (K, H, W), probabilities, and ``instances`` with
            ``pred_masks`` bool.
        findings: the heads read together, see :class:`Finding`.
        calls: by image-level unit and class called or not; empty without operating points, see :meth:`called`.
        cardiothoracic: the cardiothoracic ratio by each mask unit that has a heart and lungs.
    """

    name: str
    image: np.ndarray
    classes: Mapping[Unit, UnitClasses]
    outputs: Mapping[Unit, dict]
    findings: Sequence[Finding]
    calls: Mapping[Unit, Calls] = field(default_factory=dict)
    cardiothoracic: Mapping[Unit, CardiothoracicRatio] = field(default_factory=dict)

    @property
    def height(self) -> int:
        return self.image.shape[0]

    @property
    def width(self) -> int:
        return self.image.shape[1]

    def scores(self, unit: str) -> dict[str, float]:
        """Score by class name of an image-level unit, such as ``chexpert/cls``."""
        parsed = Unit.parse(unit)
        return dict(zip(self.classes[parsed].names, self.outputs[parsed]["scores"].tolist(), strict=True))

    def called(self, unit: str) -> Calls:
        """Called or not by class name of an image-level unit, None where no operating point can say.

        Raises:
            ValueError: the predictor was given no operating points, or does not have the unit.
        """
        calls = self.calls.get(Unit.parse(unit))
        if calls is None:
            raise ValueError(f"no calls of {unit}: give the predictor operating_points, and an image-level unit it has")
        return calls

    def instances(self, unit: str, threshold: float = 0.0):
        """Detectron2 ``Instances`` of a box or mask unit with at least that score."""
        instances = self.outputs[Unit.parse(unit)]["instances"]
        return instances[instances.scores >= threshold]


class Predictor:
    """Calls a network on images::

        predictor = fx_d2.Predictor.from_config("config.yaml", "model_best.pth")
        prediction = predictor("image.png")
        prediction.findings, prediction.scores("chexpert/cls"), prediction.instances("node21/box", 0.5)

    Args:
        network: in evaluation mode.
        geometry: how an image becomes the network's input.
        units: those to predict; None: all of the network.
        precision: None: float32.
        findings: which heads mean the same; None: the mapping of the package.
        points: operating points of the network, from :meth:`OperatingPoints.of`; None: no finding is called.
        batch: images per pass of the backbone.
        workers: threads that read files ahead.
        grey: how files are read, see :func:`fx_d2.data.images.read_image`; that of the training.
        model: name of the network (``teacher`` or ``student``), for the results.
    """

    def __init__(
        self,
        network: FoundationX,
        geometry: Geometry,
        *,
        units: Sequence[Unit] | None = None,
        precision: Precision | None = None,
        findings: FindingMap | None = None,
        points: UnitPoints | None = None,
        batch: int = 8,
        workers: int = 2,
        model: str = "",
        grey: str = "declared",
    ) -> None:
        self.network, self.model = network.eval(), model
        self.geometry = geometry
        self.units = tuple(network.classes if units is None else units)
        self.classes = {unit: network.classes[unit] for unit in self.units}
        self.organs = find_organs(self.classes)
        self.precision = precision or Precision(network.device.type, False, "bfloat16")
        self.findings = findings or FindingMap.load()
        self.findings.check(network.classes)
        self.points = {} if points is None else {unit: points[unit] for unit in self.units if unit.task == "cls"}
        if batch < 1:
            raise ValueError(f"batch must be at least 1, not {batch}")
        self.batch, self.workers, self.grey = batch, workers, grey

    @classmethod
    def from_config(
        cls,
        config: str | Path | CfgNode,
        weights: str | Path = "",
        units: str | Sequence[str] = "all",
        model: str = "auto",
        operating_points: str | Path | None = None,
        **options,
    ) -> Predictor:
        """Loads a checkpoint of a training run.

        Args:
            config: configuration or its file (``config.yaml`` of the run).
            weights: checkpoint; default: the configuration's ``MODEL.WEIGHTS``.
            units: ``all``, names joined by commas, or a list of names.
            model: see :func:`choose_network`.
            operating_points: ``thresholds.json`` of an evaluation of these weights; None: no finding is called.
            options: ``findings`` (a file or a :class:`FindingMap`), ``batch``, ``workers``.

        Raises:
            ValueError: an option is wrong, a file lacks that model, or the operating points are of another network.
            FileNotFoundError: there is no such checkpoint.
        """
        cfg = read_config(config, weights)
        points = OperatingPoints.load(operating_points) if operating_points else None
        name, network = choose_network(load_networks(cfg), model)
        options["points"] = points.of(name, network.classes) if points else None
        return cls.from_network(cfg, network, units, model=name, **options)

    @classmethod
    def default(cls, **options) -> Predictor:
        """The weights that come with the package, trained on synthetic radiographs alone; ``options`` of the class.

        Raises:
            FileNotFoundError: this installation has none.
        """
        return cls.from_config(packaged_config(), **options)

    @property
    def notice(self) -> str:
        """What every prediction of these weights must say, from their file; mostly empty."""
        return self.network.notice

    @classmethod
    def from_network(
        cls, cfg: CfgNode, network: FoundationX, units: str | Sequence[str] = "all", **options
    ) -> Predictor:
        """For a network that is there already; see :meth:`from_config`."""
        if not isinstance(options.get("findings"), FindingMap):
            options["findings"] = FindingMap.load(options.get("findings"))
        return cls(
            network,
            Geometry(size=cfg.INPUT.SIZE, letterbox=cfg.INPUT.LETTERBOX),
            units=parse_units(units, list(network.classes)),
            precision=Precision(cfg.MODEL.DEVICE, cfg.SOLVER.AMP.ENABLED, cfg.SOLVER.AMP.DTYPE),
            grey=cfg.INPUT.GREY,
            **options,
        )

    @overload
    def __call__(self, images: Source) -> Prediction: ...  # type: ignore[overload-overlap]  # a str is a sequence, too

    @overload
    def __call__(self, images: Sequence[str | Path | np.ndarray]) -> list[Prediction]: ...

    def __call__(self, images: Source | Sequence[Source]) -> Prediction | list[Prediction]:
        """Predicts one image (a path, or a uint8 array (H, W)) or a list of them.

        Masks of large images take memory: over many images prefer :meth:`stream`.

        Raises:
            DataError: an image cannot be read.
        """
        if isinstance(images, str | Path | np.ndarray):
            return next(self.stream([images]))
        return list(self.stream(images))

    def stream(self, images: Iterable[Source], on_error: OnError | None = None) -> Iterator[Prediction]:
        """Predictions in order, a batch in memory at a time.

        Args:
            images: as for a call.
            on_error: called with the name and the error of an image that cannot be read or predicted, which is then
                left out; without it the error is raised.
        """
        pairs = read_ahead(images, self.workers, 2 * self.batch, on_error, self.grey)
        while chunk := list(islice(pairs, self.batch)):
            yield from self._predict(chunk, on_error)

    def _predict(self, chunk: list[tuple[str, np.ndarray]], on_error: OnError | None) -> Iterator[Prediction]:
        entries = [self._entry(image) for _, image in chunk]
        encoded = self._encode(entries)
        for row, (name, image) in enumerate(chunk):
            try:
                outputs = self._outputs(encoded, row, entries[row])
                _check_finite(name, outputs)
            except DataError as error:
                if on_error is None:
                    raise
                on_error(name, error)
                continue
            calls = {
                unit: call_findings(points, self.classes[unit], outputs[unit]["scores"].tolist())
                for unit, points in self.points.items()
            }
            findings = self.findings.join(self.classes, outputs, calls)
            ratios = measure_organs(self.organs, outputs, column_spacing(name)) if self.organs else {}
            yield Prediction(name, image, self.classes, outputs, findings, calls, ratios)

    def _entry(self, image: np.ndarray) -> dict:
        """As the mapper gives it for evaluation."""
        height, width = image.shape
        view = self.geometry.plain(height, width).apply_image(image)
        content = self.geometry.content(height, width)
        return {"image": torch.from_numpy(view[None]), "height": height, "width": width, "content": content}

    @torch.no_grad()
    def _encode(self, entries: list[dict]) -> dict[Unit, Any]:
        """As :meth:`FoundationX.encode_units`; box and image-level heads are finished here.

        Masks stay at the network's resolution: at the original size a batch of them would fill the memory.
        """
        network = self.network
        pixels = torch.stack([entry["image"] for entry in entries])
        with self.precision.autocast():
            result = network.encode_units(pixels, self.units)
            for unit in (unit for unit in self.units if unit.task != "mask"):
                result[unit] = network.heads[unit.task].inference(result[unit], unit.dataset, entries)
        return result

    @torch.no_grad()
    def _outputs(self, encoded: dict[Unit, Any], row: int, entry: dict) -> dict[Unit, dict]:
        outputs = {}
        for unit in self.units:
            result = encoded[unit]
            if unit.task == "mask":
                one = {key: value[row : row + 1] for key, value in result.items()}
                with self.precision.autocast():
                    (output,) = self.network.heads["mask"].inference(one, unit.dataset, [entry])
            else:
                output = result[row]
            outputs[unit] = {key: value.to("cpu") for key, value in output.items()}
        return outputs


def _check_finite(name: str, outputs: Mapping[Unit, dict]) -> None:
    """Of masks the probabilities count: no pixel of NaN reaches a threshold, so they leave no instance behind."""
    for unit, output in outputs.items():
        values = [output[key] for key in ("scores", "masks") if key in output]
        if unit.task == "box":
            values = [output["instances"].scores, output["instances"].pred_boxes.tensor]
        if not all(bound.isfinite() for value in values if value.numel() for bound in value.aminmax()):
            raise DataError(f"{name}: {unit} gives scores that are not numbers; check the weights, or switch AMP off")
