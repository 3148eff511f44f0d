"""Reading through the cache: the same pixels, decoded once, and anew when the file or a parameter changes."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from fx_d2.config import get_fx_cfg
from fx_d2.config.check import check_config
from fx_d2.data import images
from fx_d2.data.caching import reader as module
from fx_d2.data.caching.reader import ImageReader, default_folder
from fx_d2.data.errors import DataError
from fx_d2.data.images import read_image
from fx_d2.phantoms.writing import write_dicom, write_metaimage

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60), dtype=np.uint8)


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """Names of the files that were decoded."""
    names: list[str] = []

    def counting(path, grey):
        names.append(path.name)
        return images.read_image(path, grey)

    monkeypatch.setattr(module, "read_image", counting)
    return names


@pytest.fixture
def reader(tmp_path) -> ImageReader:
    return ImageReader(mode="auto", folder=tmp_path / "cache", max_bytes=10**7)


@pytest.fixture
def dicom(tmp_path):
    write_dicom(tmp_path / "x.dcm", PIXELS)
    return tmp_path / "x.dcm"


def test_an_image_is_decoded_once(dicom, reader, decoded):
    for again in (reader, reader, pickle.loads(pickle.dumps(reader))):
        found = again(str(dicom))
        assert np.array_equal(found.pixels, PIXELS) and found.size == (40, 60)
    assert decoded == ["x.dcm"]


def test_the_readers_of_a_process_share_the_store(tmp_path, reader):
    assert ImageReader(7, "all", tmp_path / "cache", 10**7).store is reader.store  # so one warning is one warning


def test_a_changed_file_is_read_again(dicom, reader, decoded):
    reader(dicom)
    status = dicom.stat()
    write_dicom(dicom, 255 - PIXELS, tags={"SOPInstanceUID": "1.2.3"})
    os.utime(dicom, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert np.array_equal(reader(dicom).pixels, 255 - PIXELS)
    os.utime(dicom, ns=(status.st_atime_ns, status.st_mtime_ns + 2))
    assert np.array_equal(reader(dicom).pixels, 255 - PIXELS)
    assert len(decoded) == 3


def test_a_file_that_changes_while_it_is_decoded_is_not_kept(dicom, reader, monkeypatch):
    def slow(path, grey):
        pixels = images.read_image(path, grey)
        write_dicom(path, 255 - PIXELS)
        os.utime(path, ns=(0, 1))
        return pixels

    monkeypatch.setattr(module, "read_image", slow)
    assert np.array_equal(reader(dicom).pixels, PIXELS)
    monkeypatch.setattr(module, "read_image", images.read_image)
    assert np.array_equal(reader(dicom).pixels, 255 - PIXELS)


def test_the_reading_code_and_its_parameters_are_part_of_the_key(dicom, tmp_path, decoded, monkeypatch):
    for side in (0, 30, 0, 30):
        found = ImageReader(side, "auto", tmp_path / "cache", 10**7)(dicom)
        assert found.pixels.shape == ((40, 60) if side == 0 else (20, 30)) and found.size == (40, 60)
    assert len(decoded) == 2
    for _ in range(2):
        ImageReader(0, "auto", tmp_path / "cache", 10**7, "range")(dicom)
    assert len(decoded) == 3
    monkeypatch.setattr(module, "READING_VERSION", -1)
    ImageReader(0, "auto", tmp_path / "cache", 10**7)(dicom)
    assert len(decoded) == 4


@pytest.mark.parametrize(
    ("mode", "kept"), [("off", []), ("auto", ["d.dcm", "m.mha"]), ("all", ["d.dcm", "m.mha", "p.png"])]
)
def test_modes(tmp_path, decoded, mode, kept):
    write_dicom(tmp_path / "d.dcm", PIXELS)
    write_metaimage(tmp_path / "m.mha", PIXELS)
    write_metaimage(tmp_path / "m.mhd", PIXELS)  # its pixels are in another file, which the key does not see
    Image.fromarray(PIXELS).save(tmp_path / "p.png")
    names = ["d.dcm", "m.mha", "m.mhd", "p.png"]
    reader = ImageReader(mode=mode, folder=tmp_path / "cache", max_bytes=10**7)
    for _ in range(2):
        for name in names:
            assert np.array_equal(reader(tmp_path / name).pixels, PIXELS)
    assert sorted(decoded) == sorted(names + [name for name in names if name not in kept])
    assert (tmp_path / "cache").exists() == (mode != "off")


def test_reduced_by_area_averages(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (80, 120), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "p.png")
    found = ImageReader(side=30)(tmp_path / "p.png")
    blocks = pixels.reshape(20, 4, 30, 4).mean(axis=(1, 3))
    assert found.size == (80, 120) and np.abs(found.pixels - blocks).max() <= 0.5 + 1e-6
    assert np.array_equal(ImageReader(side=120)(tmp_path / "p.png").pixels, pixels)
    Image.fromarray(pixels[:1]).save(tmp_path / "thin.png")
    assert ImageReader(side=30)(tmp_path / "thin.png").pixels.shape == (1, 30)


def test_worker_processes_share_the_cache(tmp_path, reader, decoded):
    names = [str(tmp_path / f"{number}.dcm") for number in range(6)]
    for number, name in enumerate(names):
        write_dicom(name, np.roll(PIXELS, number))
    for _ in range(2):
        loader = DataLoader(names, batch_size=None, num_workers=2, collate_fn=reader)
        for number, picture in enumerate(loader):
            assert np.array_equal(picture.pixels, np.roll(PIXELS, number))
    assert decoded == []  # not in this process
    assert all(np.array_equal(reader(name).pixels, np.roll(PIXELS, n)) for n, name in enumerate(names))
    assert decoded == []  # nor is it needed


def test_errors_pass_through_and_are_not_kept(tmp_path, reader):
    path = tmp_path / "x.dcm"
    with pytest.raises(DataError, match="x.dcm: no such image file"):
        reader(path)
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match="x.dcm: this is a zip archive"):
        reader(path)
    write_dicom(path, PIXELS)
    assert np.array_equal(reader(path).pixels, PIXELS)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"side": -1}, "INPUT.READ_SIDE"),
        ({"mode": "on"}, "INPUT.CACHE.MODE"),
        ({"mode": "auto", "max_bytes": 0}, "INPUT.CACHE.MAX_GB"),
    ],
)
def test_wrong_settings_name_their_key(options, key):
    with pytest.raises(ValueError, match=key):
        ImageReader(**options)


def test_a_read_side_below_the_input_is_refused_before_any_work():
    cfg = get_fx_cfg()
    cfg.INPUT.SIZE, cfg.INPUT.READ_SIDE = 224, 200
    with pytest.raises(ValueError, match="INPUT.READ_SIDE 200 is below INPUT.SIZE 224"):
        check_config(cfg)
    cfg.INPUT.READ_SIDE, cfg.INPUT.CACHE.MODE = 0, "on"
    with pytest.raises(ValueError, match="INPUT.CACHE.MODE must be one of auto, all, off"):
        check_config(cfg)


def test_folder_from_configuration_variable_and_platform(tmp_path, monkeypatch):
    cfg = get_fx_cfg()
    monkeypatch.setenv("FX_D2_CACHE", str(tmp_path / "variable"))
    assert ImageReader.from_config(cfg).store.folder == tmp_path / "variable" / "images"
    assert ImageReader.from_config(cfg).store.max_bytes == 50_000_000_000
    cfg.INPUT.CACHE.DIR = str(tmp_path / "named")
    assert ImageReader.from_config(cfg).store.folder == tmp_path / "named" / "images"
    monkeypatch.delenv("FX_D2_CACHE")
    assert default_folder().name == "fx_d2"


def test_reading_is_what_read_image_gives(tmp_path, reader):
    deep = np.linspace(0, 4095, 2400).astype(np.uint16).reshape(40, 60)
    write_dicom(tmp_path / "j.dcm", deep, 12, "jpeg2000", {"PhotometricInterpretation": "MONOCHROME1"})
    expected = read_image(tmp_path / "j.dcm")
    assert all(np.array_equal(reader(tmp_path / "j.dcm").pixels, expected) for _ in range(3))
