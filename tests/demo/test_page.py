"""The page without a browser: what its elements hold after an image was dropped."""

import asyncio
from types import SimpleNamespace

import pytest

import fx_d2
from tests.prediction.test_cardiothoracic_files import ORGANS, draw_organs

pytestmark = pytest.mark.usefixtures("fresh_catalog")


async def drop(predictor, path, look, before=None):
    """Opens the page (``before(user)``), drops a file and calls ``look(user, page)``."""
    testing = pytest.importorskip("nicegui.testing", reason="the extra 'demo' is not installed")
    from fx_d2.demo.page import Page

    page = Page({"teacher": predictor}, "weights")

    async def read():
        return path.read_bytes()

    async with testing.user_simulation(root=page.build) as user:
        await user.open("/")
        if before:
            before(user)
        with user.client:
            await page._receive(SimpleNamespace(file=SimpleNamespace(name=path.name, read=read)))
        await look(user, page)


def test_the_cardiothoracic_ratio_has_a_tab_and_lines(trained, monkeypatch):
    nicegui = pytest.importorskip("nicegui", reason="the extra 'demo' is not installed")
    draw_organs(monkeypatch, ORGANS)

    async def look(user, page):
        user.find("Cardiothoracic ratio").click()
        await user.should_see("Largest diameter of the heart")
        assert page.ratios.rows == [{"unit": "phantom_heart/mask", "teacher": "0.40", "teacher_flags": ""}]
        content = page.views["teacher"][1].content
        assert ">thorax 80 px, CTR 0.40 phantom_heart<" in content
        assert content.index("<text") > max(content.rfind(shape) for shape in ("<path", "<rect", "<line"))
        await user.should_see("Best score drawn: teacher")
        drawn = [label.text for label in page.legend.descendants() if isinstance(label, nicegui.ui.label)]
        located = {row["structure"]: row["teacher"] for row in page.anatomy.rows}
        assert page.anatomy.visible and located["Left Lung (phantom_heart)"] == "mask\u00a00.90"
        assert "Left Lung (phantom_heart) 0.90" in drawn

    asyncio.run(drop(fx_d2.Predictor.from_config(trained.config, trained.weights), trained.images[0], look))


def test_a_network_without_heart_and_lungs_has_no_such_tab(trained):
    async def look(user, page):
        assert page.findings.rows
        await user.should_not_see("Cardiothoracic ratio")

    predictor = fx_d2.Predictor.from_config(trained.config, trained.weights, "phantom_screen/cls,phantom_heart/box")
    asyncio.run(drop(predictor, trained.images[0], look))


def test_the_notice_of_the_weights_stands_at_the_top(trained):
    nicegui = pytest.importorskip("nicegui", reason="the extra 'demo' is not installed")

    def in_header(user):
        (label,) = user.find(marker="notice").elements
        assert label.text == "Not for clinical use." and label.visible
        assert any(isinstance(element, nicegui.ui.header) for element in label.ancestors())

    async def look(user, page):
        in_header(user)

    predictor = fx_d2.Predictor.from_config(trained.config, trained.weights, "phantom_screen/cls")
    predictor.network.notice = "Not for clinical use."
    asyncio.run(drop(predictor, trained.images[0], look, in_header))
