"""The page. Built with NiceGUI, which serves all of its files itself: nothing is asked of the internet."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from nicegui import app, events, run, ui
from PIL import Image

from ..data.errors import DataError
from ..data.images import read_image
from ..prediction import Prediction, Predictor
from ..prediction.pictures import Palette
from ..schedule import Unit
from ..visualization.palette import to_css
from ..visualization.panels import displayed
from .address import HostCheck
from .layers import Labels, layer
from .tables import anatomy_rows, finding_rows, ratio_rows, score_rows

_LARGEST = 200_000_000  # bytes of an uploaded file
RATIO_NOTE = "Largest diameter of the heart over that of the thorax, by the head's masks; drawn with its layer."
NOTICE = "Research software, not a medical device. The image stays on this computer."
# Tables and tabs fit 390 pixels; a tap on a heading sorts without the sign, too.
_PHONE = """@media (max-width: 600px) {
    .q-table th, .q-table td { padding: 4px !important; }
    .q-table .q-table__sort-icon { display: none; }
    .q-tab { padding: 0 6px !important; }
}"""


class Page:
    """What one visitor sees.

    Args:
        predictors: by model name, teacher first. about: weights, for the heading.
    """

    def __init__(self, predictors: Mapping[str, Predictor], about: str) -> None:
        self.predictors, self.about = dict(predictors), about
        first = next(iter(self.predictors.values()))
        self.mapping = first.findings
        self.palette = Palette(self.mapping.table(first.classes))
        self.calls, self.ratio = bool(first.points), bool(first.organs)
        self.located = [unit for unit in first.units if unit.task != "cls"]
        self.shown = {unit: True for unit in self.located}
        self.models = list(self.predictors)
        self.threshold = 0.3
        self.predictions: dict[str, Prediction] = {}
        self.image = np.zeros((0, 0, 3), np.uint8)

    def build(self) -> None:
        """Puts the elements on the page."""
        ui.page_title("fx_d2 demo")
        ui.dark_mode(True)
        ui.add_css(_PHONE)
        with ui.header().classes("items-baseline gap-x-4 gap-y-1").style("background: #242424"):
            ui.label("fx_d2 demo").classes("text-xl font-bold")
            ui.label(self.about).classes("text-sm opacity-70")
            if notice := next(iter(self.predictors.values())).notice:
                ui.label(notice).classes("text-sm font-bold").mark("notice")
        with ui.row().classes("w-full items-start gap-4"):
            with ui.column().classes("w-72 shrink-0 gap-2"):
                self._controls()
            with ui.column().classes("gap-2 min-w-0").style("flex: 1 1 600px"):
                self._results()
        ui.label(NOTICE).classes("text-xs opacity-60")

    def _controls(self) -> None:
        upload = ui.upload(
            label="Drop a radiograph here",
            auto_upload=True,
            max_files=1,
            max_file_size=_LARGEST,
            on_upload=self._receive,
        )
        upload.classes("w-full").props("flat bordered")
        self.upload = upload
        ui.label("PNG, JPEG, DICOM or MetaImage").classes("text-xs opacity-60")
        self.status = ui.label("No image yet.").classes("text-sm").mark("status")
        if len(self.predictors) > 1:
            ui.toggle(
                {"both": "Both", **{name: name.capitalize() for name in self.predictors}}, value="both"
            ).on_value_change(lambda event: self._choose(event.value))
        ui.label("Lowest score of boxes and masks").classes("text-sm mt-2")
        with ui.row().classes("w-full no-wrap items-center"):
            slider = ui.slider(min=0, max=1, step=0.05, value=self.threshold).classes("grow")
            ui.label().bind_text_from(slider, "value", lambda value: f"{value:.2f}").classes("text-sm w-10")
        slider.on_value_change(lambda event: self._set_threshold(event.value))
        first = next(iter(self.predictors.values()))
        if self.located:
            ui.label("Heads").classes("text-sm mt-2")
        for unit in self.located:
            box = ui.checkbox(str(unit), value=True).props("dense")
            if gate := first.network.gates([unit]).get(str(unit)):
                box.tooltip(f"The boxes of {gate} gate these masks.")
            box.on_value_change(lambda event, unit=unit: self._toggle(unit, event.value))
        self.legend = ui.column().classes("gap-1 mt-2")

    def _results(self) -> None:
        self.views: dict[str, tuple[ui.column, ui.interactive_image]] = {}
        with ui.row().classes("w-full gap-2 items-start"):
            for name in self.predictors:
                # Side by side, one below the other on a phone.
                with ui.column().classes("gap-1 min-w-0").style("flex: 1 1 300px; max-width: 80vh") as column:
                    ui.label(name.capitalize()).classes("text-sm font-bold")
                    # The elements are ours and their texts are escaped; a sanitiser would take the drawing away.
                    view = ui.interactive_image(sanitize=False).classes("w-full")
                column.set_visibility(False)
                self.views[name] = (column, view)
        with ui.column().classes("w-full gap-0") as self.tables:
            with ui.tabs().classes("w-full").props("dense align=left") as tabs:
                ui.tab("findings", "Findings")
                ui.tab("scores", "Every head")
                if self.ratio:
                    ui.tab("ratio", "Cardiothoracic ratio")
            with ui.tab_panels(tabs, value="findings").classes("w-full"):
                with ui.tab_panel("findings").classes("p-0"):
                    self.findings = ui.table(columns=self._finding_columns(), rows=[], row_key="finding")
                    self.findings.classes("w-full").props("dense flat wrap-cells").mark("findings")
                    note = "Mean of the image-level heads that know the finding, and their lowest to highest score."
                    if self.located:
                        note += " With 0 heads it is only located."
                    if self.calls:
                        note += " Called: heads that call it, of those with an operating point."
                    ui.label(note).classes("text-xs opacity-60")
                    columns = [_column("structure", "Anatomy")]
                    columns += [_column(name, name.capitalize()) for name in self.predictors]
                    self.anatomy = ui.table(columns=columns, rows=[], row_key="structure")
                    self.anatomy.classes("w-full mt-4").props("dense flat wrap-cells")
                with ui.tab_panel("scores").classes("p-0"):
                    columns = [_column("unit", "Head"), _column("class", "Class")]
                    for name in self.predictors:
                        columns.append(_column(name, name.capitalize(), "right"))
                        columns += [_column(f"{name}_called", "Called")] if self.calls else []
                    self.scores = ui.table(columns=columns, rows=[], row_key="id", pagination=0)
                    self.scores.classes("w-full").props("dense flat")
                if self.ratio:
                    with ui.tab_panel("ratio").classes("p-0"):
                        columns = [_column("unit", "Head")]
                        for name in self.predictors:
                            columns += [_column(name, name.capitalize(), "right"), _column(f"{name}_flags", "Doubts")]
                        self.ratios = ui.table(columns=columns, rows=[], row_key="unit")
                        self.ratios.classes("w-full").props("dense flat wrap-cells")
                        ui.label(RATIO_NOTE).classes("text-xs opacity-60")
        self.tables.set_visibility(False)

    def _finding_columns(self) -> list[dict]:
        columns = [_column("finding", "Finding"), _column("heads", "Heads", "right")]
        for name in self.predictors:
            columns += [_column(name, name.capitalize(), "right"), _column(f"{name}_range", "Range")]
            if self.calls:
                columns += [_column(f"{name}_called", "Called")]
            if self.located:
                columns += [_column(f"{name}_found", "Located")]
        return columns

    async def _receive(self, event: events.UploadEventArguments) -> None:
        name = event.file.name
        self.status.text = f"{name}: predicting …"
        try:
            data = await event.file.read()
            grey, self.predictions = await run.io_bound(self._predict, data)  # type: ignore[misc]
        except DataError as error:
            # The file has a temporary name while it is read; its own means more to people.
            text = str(error).partition(": ")[2] or str(error)
            self.status.text = f"{name}: {text}"
            ui.notify(self.status.text, type="negative", multi_line=True)
        else:
            self.image = displayed(grey)
            for _, view in self.views.values():
                view.set_source(Image.fromarray(self.image))
            self.findings.rows[:] = finding_rows(self.predictions)
            self.anatomy.rows[:] = anatomy_rows(self.predictions)
            self.anatomy.set_visibility(bool(self.anatomy.rows))
            self.scores.rows[:] = score_rows(self.predictions)
            self.tables.set_visibility(True)
            self.findings.update()
            self.anatomy.update()
            self.scores.update()
            if self.ratio:
                self.ratios.rows[:] = ratio_rows(self.predictions)
                self.ratios.update()
            self.status.text = f"{name}: {grey.shape[1]} × {grey.shape[0]} pixels"
            self._draw()
        finally:
            self.upload.reset()

    def _predict(self, data: bytes) -> tuple[np.ndarray, dict[str, Prediction]]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "image"
            path.write_bytes(data)
            grey = read_image(path, next(iter(self.predictors.values())).grey)
        return grey, {name: predictor(grey) for name, predictor in self.predictors.items()}

    def _choose(self, value: str) -> None:
        self.models = list(self.predictors) if value == "both" else [value]
        self._draw()

    def _set_threshold(self, value: float) -> None:
        self.threshold = value
        self._draw()

    def _toggle(self, unit: Unit, value: bool) -> None:
        self.shown[unit] = value
        self._draw()

    def _draw(self) -> None:
        """Draws the layers anew; the picture itself is not sent again."""
        if not self.predictions:
            return
        size = self.image.shape[1::-1]
        chosen = [unit for unit in self.located if self.shown[unit]]
        for name, (column, view) in self.views.items():
            column.set_visibility(name in self.models)
            labels, measured = Labels(size[0]), self.predictions[name].cardiothoracic
            layers = (
                f'<g id="{name}-{unit.dataset}-{unit.task}">'
                + layer(self.predictions[name], unit, size, self.mapping, self.palette, self.threshold, labels)
                + "</g>"
                # Masks first, those with the cardiothoracic ratio last: lines and boxes stay on top.
                for unit in sorted(chosen, key=lambda unit: (unit.task == "box", unit in measured))
            )
            view.set_content("".join(layers) + labels.svg)
        self._draw_legend(chosen)

    def _draw_legend(self, chosen: list[Unit]) -> None:
        """Colour and name of what is drawn, and the best of its scores by each model."""
        best: dict[str, dict[str, float]] = {}
        for name in self.models:
            for unit in chosen:
                instances = self.predictions[name].instances(str(unit), self.threshold)
                for k, score in zip(instances.pred_classes.tolist(), instances.scores.tolist(), strict=True):
                    label = self.predictions[name].classes[unit].names[k]
                    scores = best.setdefault(self.mapping.name(unit.dataset, label), {})
                    scores[name] = max(score, scores.get(name, 0.0))
        self.legend.clear()
        with self.legend:
            if best:
                ui.label(f"Best score drawn: {' / '.join(self.models)}").classes("text-xs opacity-60")
            for finding in sorted(best, key=self.palette.index.__getitem__):
                by_model = (best[finding].get(name) for name in self.models)
                text = " / ".join("–" if score is None else f"{score:.2f}" for score in by_model)
                with ui.row().classes("items-center gap-2 no-wrap"):
                    color = to_css(self.palette[finding])
                    ui.element("div").style(f"flex:none;width:12px;height:12px;background:{color}")
                    ui.label(f"{finding} {text}").classes("text-xs")


def _column(name: str, label: str, align: str = "left") -> dict:
    return {"name": name, "label": label, "field": name, "align": align, "sortable": True}


def serve(predictors: Mapping[str, Predictor], about: str, host: str, port: int, open_browser: bool) -> None:
    """Serves the page until it is interrupted; each visitor has a page of their own."""

    def root() -> None:
        Page(predictors, about).build()

    app.add_middleware(HostCheck, host=host)
    ui.run(
        root,
        host=host,
        port=port,
        title="fx_d2 demo",
        reload=False,
        show=open_browser,
        show_welcome_message=False,
        favicon="🩻",
    )
