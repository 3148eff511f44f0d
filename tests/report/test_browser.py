"""The page in a real browser: nothing is asked of a network, nothing overflows, everything is there without scripts."""

import pytest

from fx_d2.report.report import write_report
from tests.fake_run import make_run


@pytest.fixture(scope="module")
def page_file(cohort, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "run"
    return write_report(folder, make_run(cohort, folder))


@pytest.fixture
def show(browser, page_file):
    """Opens the page; what it asks for and complains about is collected."""
    contexts = []

    def open_page(**options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.requested, page.complaints = [], []
        page.on("request", lambda request: page.requested.append(request.url))
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto(page_file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()


WIDTHS = {"phone": 390, "small phone": 320, "tablet": 820, "desk": 1280}


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_the_page_fits_and_asks_for_nothing(show, page_file, width):
    page = show(viewport={"width": width, "height": 800})
    for name in page.query_selector_all("details"):
        name.evaluate("e => e.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = [url for url in page.requested if not url.startswith("data:")]
    assert outside == [page_file.as_uri()] and page.complaints == []
    broken = "[...document.images].filter(i => !(i.complete && i.naturalWidth)).length"
    assert page.evaluate("document.images.length") == 18 and page.evaluate(broken) == 0


def test_everything_is_there_without_scripts_and_layers_can_be_switched(show):
    page = show(java_script_enabled=False, viewport={"width": 1280, "height": 900})
    unit = page.locator("#unit-phantom-heart-box")
    assert not unit.locator(".gallery").is_visible()
    unit.locator("summary").first.click()
    assert unit.locator(".gallery").is_visible() and unit.locator("table").first.is_visible()
    truth, found = unit.locator(".layer-truth").first, unit.locator(".layer-found").first
    assert truth.is_visible() and found.is_visible()
    unit.locator(".show-truth").uncheck()
    assert not truth.is_visible() and found.is_visible()


def test_print_shows_what_is_folded(show, tmp_path):
    page = show(java_script_enabled=False)
    page.emulate_media(media="print")
    assert page.locator("#unit-phantom-heart-mask .gallery").is_visible()
    assert not page.locator("nav.contents").is_visible()
    page.pdf(path=str(tmp_path / "report.pdf"), format="A4", print_background=True)
    assert (tmp_path / "report.pdf").stat().st_size > 50_000


# Relative luminance and contrast as WCAG 2 defines them.
CONTRAST = """
selector => {
  const rgb = c => c.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = c => rgb(c).map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const e = document.querySelector(selector), style = getComputedStyle(e);
  const ground = p => { for (; p; p = p.parentElement) {
    const c = getComputedStyle(p).backgroundColor; if (!/, 0\\)$|transparent/.test(c)) return c; } };
  const [a, b] = [style.fill && e.namespaceURI.endsWith('svg') ? style.fill : style.color, ground(e)].map(light);
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_in_both_schemes(show, scheme):
    page = show(color_scheme=scheme)
    for selector in (".lead", ".card .what", "tbody th a", ".ci", ".note", "svg .tick", "figcaption", ".kicker"):
        assert page.evaluate(CONTRAST, selector) >= 4.5, selector
