"""What one bad image, a full disk, an interruption and strange names leave of a job of many images."""

import csv
import errno
import shutil
from types import SimpleNamespace

import PIL.Image
import pytest

import fx_d2
from fx_d2.commands import predict
from fx_d2.prediction.records import image_record
from fx_d2.prediction.writers import PredictionWriter
from tests.prediction.command import read

pytestmark = pytest.mark.usefixtures("fresh_catalog")


def test_a_bad_file_is_reported_and_the_rest_goes_on(trained, call, tmp_path, capsys):
    folder = tmp_path / "in" / "deep"
    folder.mkdir(parents=True)
    for number, path in enumerate(trained.images[:2]):
        (folder / f"{number}.png").write_bytes(path.read_bytes())
    (tmp_path / "in" / "bad.jpg").write_bytes(b"no image")
    (tmp_path / "in" / "notes.txt").write_text("not an image, and not taken for one")
    code, output = call("--input", str(tmp_path / "in"), "--no-overlays")
    assert code == predict.FAILED == 3
    data = read(output)
    assert [image["file_name"][-5:] for image in data["images"]] == ["0.png", "1.png"]
    assert len(data["failed"]) == 1 and "bad.jpg" in data["failed"][0]["error"]
    captured = capsys.readouterr()
    assert "bad.jpg" in captured.err and "2 images predicted, 1 failed" in captured.out


def full_disk(*arguments, **options):
    raise OSError(errno.ENOSPC, "No space left on device")


def library_bug(*arguments, **options):
    raise AssertionError("inside a library")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(full_disk, "No space left on device"), (library_bug, "AssertionError: inside a library")],
)
def test_files_of_one_image_that_cannot_be_written(trained, call, monkeypatch, fault, reason):
    """The second of three pictures; nothing half-written stays."""
    calls = []

    def save(image, stream, **options):
        calls.append(stream)
        stream.write(b"half")
        (fault if len(calls) == 2 else original)(image, stream, **options)

    original = PIL.Image.Image.save
    monkeypatch.setattr(PIL.Image.Image, "save", save)
    code, folder = call("--input", *map(str, trained.images[:3]))
    assert code == 3
    data = read(folder)
    assert [image["file_name"] for image in data["images"]] == list(map(str, trained.images[:3]))
    (failed,) = data["failed"]
    assert failed["file_name"] == str(trained.images[1])
    assert failed["error"].startswith(str(trained.images[1])) and reason in failed["error"]
    found = sorted(path.name for path in (folder / "overlays").iterdir())
    assert found == sorted(f"{trained.images[i].stem}.png" for i in (0, 2))


def test_an_image_that_does_not_get_into_the_tables_leaves_nothing_there(trained, tmp_path, monkeypatch):
    """The disk is full in the middle of the second image's entry, and has room again for the third."""
    predictor = fx_d2.Predictor.from_config(trained.config, trained.weights)
    records = [image_record(predictor(path), 0.3) for path in trained.images[:3]]
    with PredictionWriter(tmp_path, predictor.classes, {}) as writer:
        writer.add(records[0])
        json_file = writer._files[0].file
        whole = json_file._file

        class Full:
            def write(self, data):
                if whole.tell() > start:
                    full_disk()
                return whole.write(data[:5])  # a file system may take a part

            def __getattr__(self, name):
                return getattr(whole, name)

        start = whole.tell()
        json_file._file = Full()
        with pytest.raises(OSError, match="No space left"):
            writer.add(records[1])
        assert whole.tell() == start
        json_file._file = whole
        writer.fail(records[1]["file_name"], "No space left on device")
        writer.add(records[2])
    data = read(tmp_path)
    assert [image["file_name"] for image in data["images"]] == [records[i]["file_name"] for i in (0, 2)]
    assert data["failed"][0]["file_name"] == records[1]["file_name"]


def test_one_table_that_cannot_be_finished_does_not_take_the_others(trained, tmp_path):
    predictor = fx_d2.Predictor.from_config(trained.config, trained.weights)
    with pytest.raises(OSError, match=r"No space left on device: '.*predictions.json'"):
        with PredictionWriter(tmp_path, predictor.classes, {}) as writer:
            writer.add(image_record(predictor(trained.images[0]), 0.3))
            whole = writer._files[0].file._file
            writer._files[0].file._file = SimpleNamespace(
                write=full_disk, tell=whole.tell, seek=whole.seek, truncate=whole.truncate
            )
    names = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert {"predictions.json.part", "predictions.csv", "findings.csv", "phantom_heart_mask.json"} <= names


def test_names_that_are_no_text_too_long_or_formulas(trained, call, tmp_path, monkeypatch):
    """Bytes that are no UTF-8, 250 bytes, a stem without a letter, and text that a spreadsheet would run."""
    monkeypatch.chdir(tmp_path)
    names = ["\udcff.png", "x" * 240 + ".png", "-.png", "=1+1.png", "@a.png"]
    for name in names:
        shutil.copy(trained.images[0], name)
    code, folder = call("--input", *(f"./{name}" for name in names))
    assert code == 0
    assert [image["file_name"] for image in read(folder)["images"]] == names
    assert len(list((folder / "overlays").glob("*.png"))) == 5
    for table in ("predictions.csv", "findings.csv"):
        with (folder / table).open(newline="") as stream:
            found = dict.fromkeys(row["file_name"] for row in csv.DictReader(stream))
        assert list(found) == ["\\udcff.png", names[1], "'-.png", "'=1+1.png", "'@a.png"]


def test_an_interrupted_run_keeps_what_it_has(trained, tmp_path):
    predictor = fx_d2.Predictor.from_config(trained.config, trained.weights)
    with pytest.raises(KeyboardInterrupt):
        with PredictionWriter(tmp_path, predictor.classes, {"model": "teacher"}) as writer:
            writer.add(image_record(predictor(trained.images[0]), 0.3))
            raise KeyboardInterrupt
    assert [image["file_name"] for image in read(tmp_path)["images"]] == [str(trained.images[0])]
    assert not list(tmp_path.rglob("*.part"))
