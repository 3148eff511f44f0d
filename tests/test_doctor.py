"""Each known trap is detected, with a fix; a healthy environment passes."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from fx_d2 import doctor

ROOT = Path(__file__).parents[1]


@pytest.fixture
def imports(monkeypatch):
    """A table of modules by name; an exception in it is what importing that module raises."""
    table = {}

    def fake(name):
        value = table[name]
        if isinstance(value, Exception):
            raise value
        return value

    monkeypatch.setattr(doctor.importlib, "import_module", fake)
    return table


@pytest.fixture
def versions(monkeypatch):
    """A table of installed distributions and their versions."""
    table = {}
    monkeypatch.setattr(doctor, "_version", table.get)
    return table


def fake_torch(cuda=None, available=False):
    def device_sum(*_, **__):
        raise RuntimeError("no kernel image is available for execution on the device\nmore")

    return SimpleNamespace(
        __version__="2.15.0",
        version=SimpleNamespace(cuda=cuda),
        tensor=lambda *_: None,
        ones=device_sum if available else lambda *_: None,
        cuda=SimpleNamespace(
            is_available=lambda: available,
            device_count=lambda: 1,
            get_device_capability=lambda index: (9, 0),
            get_device_name=lambda index: "Fake GPU",
            is_bf16_supported=lambda: True,
        ),
    )


def test_this_environment_is_healthy():
    result = subprocess.run(
        [sys.executable, "-m", "fx_d2.doctor"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == "fx_d2 is ready."
    for name in ("python", "torch", "torchvision", "detectron2", "numpy", "opencv", "pycocotools", "device"):
        assert f"] {name}" in result.stdout


def test_runs_where_nothing_can_be_imported(tmp_path):
    """-I -S: no site-packages at all; the package is imported from the source folder."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from fx_d2.doctor import main; sys.exit(main())"
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1, result.stderr
    failed = result.stdout.splitlines()[-1]
    assert "checks failed" in failed
    for name in ("torch", "torchvision", "detectron2", "setuptools", "opencv", "numpy", "pycocotools", "pins"):
        assert name in failed
    assert "No module named 'torch'" in result.stdout


def test_old_python(monkeypatch):
    monkeypatch.setattr(doctor.platform, "python_version_tuple", lambda: ("3", "9", "18"))
    assert doctor.check_python().state == "trap"


def test_cpu_torch_with_cuda_torchvision_at_import(imports, versions):
    imports["torch"] = fake_torch()
    imports["torchvision"] = RuntimeError("operator torchvision::nms does not exist")
    versions["torchvision"] = "0.29.2+cu132"
    check = doctor.check_torchvision()
    assert check.state == "trap"
    assert "operator torchvision::nms does not exist" in check.detail
    assert "0.29.2+cu132 with torch 2.15.0" in check.detail
    assert "install both from one index" in check.fix


def test_cpu_torch_with_cuda_torchvision_at_call(imports):
    def nms(*_):
        raise NotImplementedError("Could not run 'torchvision::nms' with arguments from the 'CPU' backend.\nlong tail")

    imports["torch"] = fake_torch()
    imports["torchvision"] = SimpleNamespace(__version__="0.29.2", ops=SimpleNamespace(nms=nms))
    check = doctor.check_torchvision()
    assert check.state == "trap" and "torchvision::nms" in check.detail and "long tail" not in check.detail


@pytest.mark.parametrize("check", [doctor.check_torch, doctor.check_torchvision, doctor.check_device])
def test_torch_missing(imports, check):
    imports["torch"] = ModuleNotFoundError("No module named 'torch'")
    result = check()
    assert result.state == "trap" and "No module named 'torch'" in result.detail
    assert "install torch torchvision" in result.fix


def test_detectron2_missing(imports):
    imports["detectron2"] = ModuleNotFoundError("No module named 'detectron2'")
    check = doctor.check_detectron2()
    assert check.state == "trap" and check.fix.endswith("fx_d2 install-detectron2")


def test_detectron2_part_broken(imports, versions):
    versions["sal-detectron2"] = "0.7.2"
    imports["detectron2"] = SimpleNamespace(__version__="0.7.2", __file__="/x/detectron2/__init__.py")
    imports["detectron2.engine"] = ImportError("no fvcore")
    check = doctor.check_detectron2()
    assert check.state == "trap" and "detectron2.engine does not import: ImportError: no fvcore" in check.detail


def test_detectron2_source_names_the_commit(monkeypatch, versions):
    versions["detectron2"] = "0.6"
    text = '{"url": "https://example.org/detectron2", "vcs_info": {"vcs": "git", "commit_id": "0123456789abcdef"}}'
    found = SimpleNamespace(read_text=lambda name: text if name == "direct_url.json" else None)
    monkeypatch.setattr(doctor.importlib.metadata, "distribution", lambda name: found)
    assert doctor._detectron2_source() == "https://example.org/detectron2 0123456"


def test_setuptools_without_pkg_resources(monkeypatch, versions):
    versions["setuptools"] = "84.2.1"
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    check = doctor.check_setuptools()
    assert check.state == "trap" and "84.2.1" in check.detail and "setuptools<81" in check.fix


def test_opencv_missing(imports):
    imports["cv2"] = ImportError("libGL.so.1: cannot open shared object file")
    check = doctor.check_opencv()
    assert check.state == "trap" and "libGL" in check.detail and "opencv-python-headless" in check.fix


def test_two_opencv_flavours_are_a_warning(imports, versions):
    imports["cv2"] = SimpleNamespace(__version__="5.0.0")
    versions.update({"opencv-python-headless": "5.0.0.93"})
    assert doctor.check_opencv().state == "ok"
    versions.update({"opencv-python": "4.12.0.88"})
    check = doctor.check_opencv()
    assert check.state == "warning" and check.ok
    assert (
        "opencv-python 4.12.0.88" in check.detail and "uninstall -y opencv-python opencv-python-headless" in check.fix
    )


def test_pycocotools_built_for_another_numpy(imports, versions):
    versions.update({"numpy": "2.4.6", "pycocotools": "2.0.6"})
    imports["pycocotools.mask"] = ValueError("numpy.dtype size changed, may indicate binary incompatibility")
    check = doctor.check_pycocotools()
    assert check.state == "trap" and "2.0.6 with numpy 2.4.6" in check.detail and "--force-reinstall" in check.fix


@pytest.mark.parametrize(
    ("iopath", "omegaconf", "state"),
    [
        ("0.1.9", "2.3.1", "ok"),
        ("0.1.10", "2.3.1", "warning"),
        ("0.1.9", "2.4.0", "warning"),
        ("0.1.9", "2.4.0.dev3", "warning"),
        (None, "2.3.1", "trap"),
    ],
)
def test_pins_of_detectron2(versions, iopath, omegaconf, state):
    versions.update({"iopath": iopath, "omegaconf": omegaconf})
    check = doctor.check_pins()
    assert check.state == state
    assert bool(check.fix) == (state != "ok")


def test_gpu_that_torch_was_not_built_for(imports):
    imports["torch"] = fake_torch(cuda="13.2", available=True)
    check = doctor.check_device()
    assert check.state == "trap"
    assert "Fake GPU (compute capability 9.0); bf16 yes" in check.detail and "no kernel image" in check.detail


def test_gpu_that_the_driver_does_not_serve(imports, monkeypatch):
    imports["torch"] = fake_torch(cuda="13.2")
    monkeypatch.setattr(doctor.Path, "exists", lambda path: str(path) == "/dev/nvidia0")
    check = doctor.check_device()
    assert check.state == "warning" and "driver" in check.fix


def test_datasets_root(monkeypatch, tmp_path):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    assert doctor.check_datasets().state == "ok"
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "absent"))
    check = doctor.check_datasets()
    assert check.state == "note" and check.ok and str(tmp_path / "absent") in check.detail


def test_small_shared_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: SimpleNamespace(free=64 << 20))
    check = doctor.check_shared_memory(str(tmp_path))
    assert check.state == "warning" and "0.1 GiB" in check.detail
    assert doctor.check_shared_memory(str(tmp_path / "absent")).state == "ok"


@pytest.mark.parametrize(("state", "status"), [("ok", 0), ("note", 0), ("warning", 0), ("trap", 1)])
def test_exit_status_and_report(monkeypatch, capsys, state, status):
    check = doctor.Check("thing", state, "what was found", "what to do" if state in ("warning", "trap") else "")
    monkeypatch.setattr(doctor, "CHECKS", (lambda: check,))
    assert doctor.main() == status
    text = capsys.readouterr().out
    assert "thing" in text and "what was found" in text
    assert ("fix: what to do" in text) == bool(check.fix)
    assert ("1 of 1 checks failed: thing" in text) == bool(status)


def test_public_names_are_lazy_and_resolve():
    code = "import sys, fx_d2; assert not {'torch', 'detectron2'} & set(sys.modules); print(fx_d2.__version__)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    package = importlib.import_module("fx_d2")
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="public names: add_fx_config"):
        _ = package.get_fx_config
