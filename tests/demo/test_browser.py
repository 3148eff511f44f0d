"""The page in a real headless browser: an image is dropped, heads are toggled, models compared; nothing leaves it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlparse

import pytest

from fx_d2.commands import demo
from fx_d2.demo.address import HostCheck, is_loopback
from fx_d2.tooling import run_tool

ROOT = Path(__file__).parents[2]
MODELS = ("Teacher", "Student")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def page():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(60_000)
        yield page
        browser.close()


@pytest.fixture
def address(trained, tmp_path):
    pytest.importorskip("nicegui", reason="the extra 'demo' is not installed")
    port = free_port()
    # What pytest tells its own children would make the server wait for a test that never comes.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("NICEGUI", "PYTEST"))}
    command = [sys.executable, "-W", "ignore", str(ROOT / "tools" / "demo.py"), "--config-file", trained.config]
    # The teacher calls a nodule on every image, the student on none.
    stored = {
        model: {"phantom_screen": {"Nodule": {"threshold": threshold, "source": "mine"}}}
        for model, threshold in (("teacher", 0), ("student", 1))
    }
    (tmp_path / "thresholds.json").write_text(json.dumps(stored))
    command += ["--operating-points", str(tmp_path / "thresholds.json")]
    command += ["--port", str(port), "MODEL.WEIGHTS", trained.weights]
    environment["PYTHONPATH"] = str(ROOT)
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    url = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(240):
            if server.poll() is not None:
                pytest.fail(f"the demo ended: {server.stdout.read()}")
            try:
                urllib.request.urlopen(url, timeout=5)
                break
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                time.sleep(0.5)
        yield url
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def test_a_visit(address, page, trained, tmp_path):
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.get_by_text("Drop a radiograph here").wait_for()
    assert "not a medical device" in page.inner_text("body")

    torn = tmp_path / "torn.png"
    torn.write_bytes(b"no image")
    page.set_input_files("input[type=file]", str(torn))
    page.get_by_text("torn.png: not an image of a known format").first.wait_for()

    page.set_input_files("input[type=file]", str(trained.images[0]))
    page.get_by_text(f"{trained.images[0].name}: ").and_(page.get_by_text("pixels")).wait_for()
    assert page.locator("td", has_text="Pleural Effusion").count() == 1
    assert page.get_by_text("Teacher", exact=True).first.is_visible()

    cells = page.locator("tr", has=page.get_by_role("cell", name="Nodule", exact=True)).locator("td").all_inner_texts()
    assert [cell for cell in cells if " of " in cell] == ["1 of 1", "0 of 1"]

    page.locator("#teacher-phantom_heart-mask").wait_for(state="attached")
    assert page.locator("svg g[id^=teacher-]").count() == 3 == page.locator("svg g[id^=student-]").count()
    page.get_by_text("phantom_heart/mask").click()
    page.locator("#teacher-phantom_heart-mask").wait_for(state="detached")
    assert page.locator("#student-phantom_heart-mask").count() == 0
    page.get_by_text("phantom_heart/mask").click()
    page.locator("#teacher-phantom_heart-mask").wait_for(state="attached")

    page.get_by_role("button", name="Student").click()
    page.locator("#teacher-phantom_heart-box").wait_for(state="hidden")
    page.get_by_text("Every head").click()
    page.locator("td", has_text="phantom_emergency/cls").first.wait_for()
    page.get_by_text("Cardiothoracic ratio").click()
    page.locator("td", has_text="phantom_heart/mask").wait_for()
    page.screenshot(path=tmp_path / "page.png")

    page.get_by_role("button", name="Both").click()
    page.locator("#teacher-phantom_heart-box").wait_for(state="attached")
    titles = {name: page.get_by_text(name, exact=True).and_(page.locator(".font-bold")) for name in MODELS}
    teacher, student = (titles[name].bounding_box() for name in MODELS)
    assert teacher["y"] == student["y"] and teacher["x"] < student["x"]
    for width in (320, 390):  # phones: nothing to scroll sideways
        page.set_viewport_size({"width": width, "height": 844})
        for tab in ("Cardiothoracic ratio", "Every head", "Findings"):
            page.get_by_role("tab", name=tab).click()
            page.get_by_role("tab", name=tab, selected=True).wait_for()
            page.wait_for_function(f"document.documentElement.scrollWidth <= {width}")
    fits = "(tabs) => tabs.scrollWidth <= tabs.clientWidth"
    assert page.locator(".q-tabs__content").evaluate(fits)
    teacher, student = (titles[name].bounding_box() for name in MODELS)
    assert teacher["x"] == student["x"] and teacher["y"] < student["y"]

    hosts = {urlparse(url).hostname for url in requests if urlparse(url).scheme not in ("data", "blob")}
    assert hosts == {"127.0.0.1"} and not errors


def test_the_page_listens_on_this_computer_unless_told_otherwise():
    assert demo.parse_arguments([]).host == "127.0.0.1"
    assert is_loopback("127.0.0.1") and is_loopback("localhost") and not is_loopback("0.0.0.0")


def test_a_port_that_is_taken(trained, capsys):
    pytest.importorskip("nicegui", reason="the extra 'demo' is not installed")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        arguments = ["--config-file", trained.config, "--port", str(taken.getsockname()[1])]
        with pytest.raises(SystemExit) as stop:
            run_tool(lambda: demo.main([*arguments, "MODEL.WEIGHTS", trained.weights]))
    assert stop.value.code == 2 and "choose another --port" in capsys.readouterr().err


def test_a_page_elsewhere_cannot_reach_it_under_its_own_name(address):
    """DNS rebinding: the request comes to this computer, its Host header names somebody else."""

    def status(host):
        try:
            with urllib.request.urlopen(urllib.request.Request(address, headers={"Host": host})) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    port = urlparse(address).port
    assert status(f"127.0.0.1:{port}") == status(f"localhost:{port}") == 200
    assert status("attacker.example") == status(f"127.0.0.1.attacker.example:{port}") == 400


@pytest.mark.parametrize(
    ("host", "header", "good"),
    [
        *(("127.0.0.1", header, True) for header in ("127.0.0.1:80", "LOCALHOST", "[::1]:8080", "192.168.0.7")),
        *(("127.0.0.1", header, False) for header in ("", "evil.example", "localhost.evil.example", "[::1", "1.2")),
        ("127.0.0.1", f"{socket.gethostname()}x", False),
        *(("0.0.0.0", header, True) for header in (socket.gethostname(), f"{socket.getfqdn()}:1", "10.0.0.3:1")),
        ("0.0.0.0", "evil.example", False),
        ("ward7.example", "Ward7.example:8080", True),
    ],
)
def test_names_of_this_computer(host, header, good):
    assert HostCheck(None, host).accepts(header) is good
