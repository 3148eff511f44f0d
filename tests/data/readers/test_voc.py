"""Pascal VOC files of one's own: as labelImg writes them, and every mistake by file and line."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from PIL import Image

from fx_d2.data.errors import DataError
from fx_d2.data.user_datasets import load_user_datasets

HEIGHT, WIDTH = 50, 200


def voc(*objects, filename="a.png", size=(HEIGHT, WIDTH), head="<annotation>") -> str:
    """labelImg's form: tabs, a path of another computer, part boxes inside of an object."""
    height, width = size
    text = f"{head}\n\t<folder>x</folder>\n\t<filename>{filename}</filename>\n\t<path>C:\\x\\{filename}</path>\n"
    text += f"\t<size>\n\t\t<width>{width}</width><height>{height}</height><depth>1</depth>\n\t</size>\n"
    for name, corners, *more in objects:
        inside = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=False))
        text += f"\t<object>\n\t\t<name>{name}</name>\n\t\t<bndbox>{inside}</bndbox>{''.join(more)}\n\t</object>\n"
    return text + "</annotation>\n"


@pytest.fixture
def declare(tmp_path):
    def write(files: dict, images=("a.png", "b.png", "c.png"), **task):
        for name in images:
            (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(tmp_path / "images" / name)
        for name, text in files.items():
            (tmp_path / "xml" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "xml" / name).write_bytes(text.encode() if isinstance(text, str) else text)
        declared = {"images": "images", "splits": {"train": 1.0}, "tasks": {"box": {"voc": "xml", **task}}}
        (tmp_path / "my.yaml").write_text(yaml.safe_dump({"datasets": {"toy": declared}}))
        return load_user_datasets(tmp_path / "my.yaml")["toy"]

    return write


def boxes(record) -> dict[str, list]:
    return {
        item["image_id"]: [(a["category_id"], *a["bbox"]) for a in item["annotations"]]
        for item in record.read("box", "train")
    }


def test_corners_difficult_objects_and_negatives(declare, caplog):
    caplog.set_level("INFO")
    part = "<part><name>rim</name><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part>"
    first = voc(
        ("Nodule", (10, 5, 40.5, 25), "<difficult>1</difficult>"),
        ("Größe", (0, 0, 201, 50), part, "<difficult>0</difficult>"),
        ("Mass", (1, 1, 2, 2)),
    )
    record = declare({"a.xml": first, "b.xml": voc(size=(0, 0))})
    assert record.tasks["box"].classes == ("Größe", "Mass", "Nodule")
    assert boxes(record) == {"a.png": [(2, 10, 5, 30.5, 20), (0, 0, 0, 200, 50), (1, 1, 1, 1, 1)], "b.png": []}
    events = {reason: event.times for reason, event in record.report("box", "train").events.items()}
    assert events == {"objects marked difficult, kept": 1, "boxes clipped to the image": 1}
    assert "1 objects marked difficult, kept (first: " in caplog.text and "a.xml, line 8)" in caplog.text
    record = declare({}, classes=["Mass", "Nodule"])
    assert boxes(record)["a.png"] == [(1, 10, 5, 30.5, 20), (0, 1, 1, 1, 1)]
    assert "1 box of other classes than Mass, Nodule left out" in caplog.text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "iso-8859-1"])
def test_encodings_of_xml(declare, encoding):
    declared = encoding.removesuffix("-sig")
    text = voc(("Größe", (1, 2, 3, 4)), head=f'<?xml version="1.0" encoding="{declared}"?><annotation>')
    assert declare({"a.xml": text.encode(encoding)}).tasks["box"].classes == ("Größe",)


def test_a_file_belongs_to_the_image_of_its_path_or_name_or_filename(declare, caplog):
    one, mass = ("Mass", (1, 2, 11, 12)), (0, 1, 2, 10, 10)
    images = ("one/a.png", "two/a.png", "b.png", "Third.png")
    files = {"one/a.xml": voc(one), "x/b.xml": voc(filename="a.png"), "0001.xml": voc(one, filename="third.PNG")}
    found = boxes(declare({**files, "nobody.xml": voc(filename="z.png")}, images))
    assert found == {"one/a.png": [mass], "b.png": [], "Third.png": [mass]}
    assert "1 XML file without an image (first: nobody.xml)" in caplog.text
    with pytest.raises(DataError, match=r"two files are about the image b\.png: .*b\.xml and .*b2\.xml; keep one"):
        declare({"y/b2.xml": voc(filename="b.png")}, images).read("box", "train")
    with pytest.raises(DataError, match=r"0\.xml: image name 'a\.png' fits 2 files"):
        declare({"0.xml": voc(filename="a.png")}, images).read("box", "train")


ENTITY = '<!DOCTYPE annotation [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
BOX = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox>"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (voc(("Mass", (1, 2, 3, 4)))[:-20], r"line 11: not valid XML"),
        ("", r"line 1: not valid XML: no element found"),
        (f"\n{ENTITY}\n" + voc(), r"line 2: a DOCTYPE, .* is not read"),
        ("<html></html>", r"not a Pascal VOC file: it begins with <html>"),
        (voc(("", (1, 2, 3, 4))), r"line 8: an object without a name"),
        (voc(("Mass", (1, 2, 3, 4)), ("Mass", (1, 2))), r"line 12: the bndbox of object 'Mass' lacks xmax, ymax"),
        (voc(("Mass", (1, 2, "wide", 4))), r"line 8: xmax 'wide' is no number"),
        (voc(("Mass", (1, 2, "nan", 4))), r"line 8: xmax 'nan' is no number"),
        (voc(("Mass", (50, 10, 30, 30))), r"line 8: box 50, 10, 30, 30 of 'Mass' ends before it begins"),
        (voc(("Mass", (1, 2, 3, 4), BOX)), r"line 10: an object has two xmin"),
        (voc(("Mass", (1, 2, 3, 4)), size=(WIDTH, HEIGHT)), r"said to be 50 x 200 pixels .*, but .* is 200 x 50"),
        (voc(("Mass", (1, 2, 3, 4)), size=("", 3)), r"size '' is no number"),
        (voc(("Mass", (0.1, 0.2, 0.3, 0.4))), r"all 1 boxes lie in 0\.\.1: shares of the image"),
        (voc(head='<?xml version="1.0" encoding="shift_jis"?><annotation>'), r"not valid XML: .*; save it in UTF-8"),
        (voc(), r"no file has an object, so there is no class; name the classes"),
    ],
)
def test_a_wrong_file(declare, text, message):
    with pytest.raises(DataError, match=rf"(a\.xml(, |: )?|xml: ).*{message}"):
        declare({"a.xml": text}).read("box", "train")


def test_a_wrong_declaration(declare):
    files = {"a.xml": voc(("Mass", (1, 2, 3, 4)))}
    with pytest.raises(DataError, match=r"no object is called 'Mas' \(key classes\); did you mean 'Mass'"):
        declare(files, classes=["Mas"]).read("box", "train")
    with pytest.raises(DataError, match=r"box\.no_file: goes with yolo"):
        declare(files, no_file="negative")
    with pytest.raises(DataError, match=r"box\.file: give file or voc, not both"):
        declare(files, file="xml")


def test_a_name_that_fits_two_images(declare):
    with pytest.raises(DataError, match=r"a\.xml: image name 'a' fits 2 files"):
        declare({"a.xml": voc(("Mass", (1, 2, 3, 4)))}, ("x/a.png", "y/a.png")).read("box", "train")


def test_files_of_other_images(declare):
    with pytest.raises(DataError, match=r"none of its 1 XML file fits an image .*; the one of b\.png would be b\.xml"):
        declare({"a.xml": voc(("Mass", (1, 2, 3, 4)))}, ("b.png",)).read("box", "train")


def test_a_folder_without_files(declare, tmp_path):
    (tmp_path / "xml").mkdir()
    with pytest.raises(DataError, match=r"xml: no XML file in this folder or below it"):
        declare({})
