"""The code in the pages: Python blocks run on a tiny run; commands of shell blocks exist with their flags and keys."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import sys
from functools import cache

import cv2
import pytest

from fx_d2 import get_fx_cfg
from fx_d2.commands.cli import COMMANDS, main_of
from fx_d2.config import find_config_file
from fx_d2.phantoms.writing import write_dicom
from tests.docs.pages import NAMES, PAGES, ROOT, blocks

PYTHON = [page for page in PAGES if any(block.language == "python" and block.run for block in blocks(page))]
SHELL = [(page, block) for page in PAGES for block in blocks(page) if block.language == "bash"]
FLAGS = re.compile(r"--[a-z][a-z-]*")


@pytest.fixture
def folder(trained, tmp_path, monkeypatch):
    """What the pages speak of: output/phantom with a run, image.png, the configurations."""
    run = tmp_path / "output" / "phantom"
    run.mkdir(parents=True)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (run / "config.yaml").symlink_to(trained.config)
    (run / "model_best.pth").symlink_to(trained.weights)
    (tmp_path / "output" / "quickstart").symlink_to(run)
    point = {"threshold": 0.5, "source": "youden on val"}
    models = {model: {"phantom_screen": {"Nodule": point}} for model in ("student", "teacher")}
    (run / "thresholds.json").write_text(json.dumps(models))
    picture = cv2.imread(str(trained.images[3]))
    cv2.imwrite(str(tmp_path / "image.png"), picture)
    write_dicom(tmp_path / "0004cfab.dcm", picture[..., 0])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PYTHON, ids=[page.name for page in PYTHON])
def test_python_blocks_run(page, folder, fresh_catalog, capsys):
    """The blocks of a page are one notebook."""
    names: dict = {}
    for block in blocks(page):
        if block.language == "python" and block.run:
            exec(compile("\n" * (block.line - 1) + block.code, str(page), "exec"), names)


@cache
def flags_of(command: str) -> set[str]:
    """By the help of a command, by the source of a tool."""
    if command not in COMMANDS:
        text = (ROOT / command).read_text(encoding="utf-8")
        shared = {"--config-file"} if "config_argument_parser" in text else set()
        return shared | set(re.findall(r"\"(--[a-z-]+)\"", text))
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        patch.setattr(sys, "argv", [f"fx-d2 {command}", "--help"])
        main_of(command)()
    return set(FLAGS.findall(shown.getvalue()))


def check_line(line: str) -> None:
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_0-9]+=.*", words[0]):
        words.pop(0)
    if not words:
        return
    if "fx-d2" in words or ("-m" in words and "fx_d2" in words):
        rest = words[words.index("fx-d2" if "fx-d2" in words else "fx_d2") + 1 :]
        command = rest[0]
        assert rest[0] in (*COMMANDS, "--help", "--version"), f"no command {rest[0]!r}"
    elif words[0] == "python" and words[1].startswith("tools/"):
        command, rest = words[1], words[2:]
        assert (ROOT / words[1]).is_file(), f"no file {words[1]}"
    elif words[0] == "make":
        for target in (word for word in words[1:] if "=" not in word):
            text = (ROOT / "Makefile").read_text()
            assert re.search(rf"^{target}:", text, flags=re.MULTILINE), f"no target {target}"
        return
    else:
        return
    flags = [word.partition("=")[0] for word in rest if word.startswith("--")]
    if not command.startswith("--"):
        missing = [flag for flag in flags if flag not in flags_of(command) | {"--help"}]
        assert not missing, f"{command} has no {missing}"
    if "--config-file" in rest:
        name = rest[rest.index("--config-file") + 1]
        if name.startswith("configs/") or ("/" not in name and not name.startswith("my")):
            find_config_file(str(ROOT / name) if name.startswith("configs/") else name)
    pairs = [number for number, word in enumerate(rest) if re.fullmatch(r"[A-Z]+(\.[A-Z_]+)+|SEED|OUTPUT_DIR", word)]
    for number in pairs:
        node = get_fx_cfg()
        for part in rest[number].split("."):
            assert part in node, f"no key {rest[number]}"
            node = node[part]


@pytest.mark.parametrize(
    ("page", "block"), SHELL, ids=[f"{page.relative_to(ROOT)}:{block.line}" for page, block in SHELL]
)
def test_commands_of_shell_blocks_exist(page, block):
    for line in block.code.replace("\\\n", " ").splitlines():
        for part in re.split(r" \|\| | && | \| ", line):
            if not part.lstrip().startswith("#"):
                check_line(part)


@pytest.mark.parametrize(
    "line",
    [
        "fx-d2 trian --config-file phantom.yaml",
        "fx-d2 train --config phantom.yaml",
        "fx-d2 train --config-file phantoms.yaml",
        "fx-d2 train --config-file phantom.yaml FX.CYCLE.COUNTS 3",
        "python tools/dev/nothing.py",
        "make everything",
    ],
)
def test_a_wrong_line_is_found(line):
    with pytest.raises((AssertionError, ValueError)):
        check_line(line)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_configurations_in_the_pages_can_be_merged(page, tmp_path):
    for block in blocks(page):
        if block.language == "yaml" and re.match(r"[A-Z]+:", block.code):
            (tmp_path / "page.yaml").write_text(block.code)
            get_fx_cfg().merge_from_file(tmp_path / "page.yaml")


def test_blocks_are_seen():
    assert len(NAMES) > 12 and len(SHELL) > 20 and len(PYTHON) > 2
