"""Tables with other separators and encodings, as the csv module and Python's codecs write them."""

from __future__ import annotations

import csv
import gzip
import io

import pytest

from fx_d2.data.errors import DataError
from fx_d2.data.readers.tables import read_names, read_table

ROWS = [["image", "Lungenödem", "remark"], ["a.png", "1", "seen by Müller, twice"], ["b.png", "0", ""]]


def text(separator: str, rows=ROWS, **options) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=separator, **options).writerows(rows)
    return stream.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
@pytest.mark.parametrize(("separator", "name"), [(",", ""), (";", "semicolon"), ("\t", "tab")])
@pytest.mark.parametrize("options", [{}, {"quoting": csv.QUOTE_ALL}, {"lineterminator": "\n"}])
def test_every_form_is_one_table(tmp_path, caplog, encoding, separator, name, options):
    caplog.set_level("INFO")
    path = tmp_path / "t.csv"
    path.write_bytes(text(separator, **options).encode(encoding))
    table = read_table(path)
    assert [list(table.columns), *(row for _, row in table.rows)] == ROWS
    assert [line for line, _ in table.rows] == [2, 3]
    assert (f"separated by {name}" in caplog.text) == bool(name)
    assert ("(such as 'Lungenödem')" in caplog.text) == (not encoding.startswith("utf-8")) == ("text in" in table.form)
    with gzip.open(tmp_path / "t.csv.gz", "wb") as stream:
        stream.write(path.read_bytes())
    assert read_table(tmp_path / "t.csv.gz").rows == table.rows


def test_the_comma_wins_where_it_fits_and_others_fit_where_it_does_not(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("image,A;B\na,1;2\n")  # both give two columns
    assert read_table(path).columns == ("image", "A;B")
    path.write_text('image,"A\tB"\na,"1\t2"\n')
    assert read_table(path).columns == ("image", "A\tB")
    path.write_text("image;Mass, left\na;1\nb;0\n")  # one comma in the header, none in the rows
    assert read_table(path).columns == ("image", "Mass, left") and read_table(path).rows[1] == (3, ["b", "0"])
    path.write_text("image\na;1\n")
    assert read_table(path).rows == [(2, ["a;1"])]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"image;A\na;1\nb;1;0\n", r"line 3: 3 fields, but the header names 2"),  # by the separator of the header
        (b"image,A\na;1\n", r"line 2: 1 fields, but the header names 2"),
        (b"image;A\tB\na;1\t2\n", r"may be separated by semicolon or by tab; save the file with commas"),
        (b'image,A\n"a,1\n', r"cannot be read as CSV"),
        ("image,“A”\na,1\n".encode("cp1252"), r"neither text in UTF-8 nor plainly in UTF-16 or Latin-1; save it"),
        ("image,Снимок\na,1\n".encode("cp1251"), r"neither text in UTF-8"),
        ("image,Снимок\na,1\n".encode("koi8-r"), r"neither text in UTF-8"),
        ("image,所見\na,1\n".encode("shift_jis"), r"neither text in UTF-8"),
        ("image,肺炎,所见\na,1,1\n".encode("gbk"), r"neither text in UTF-8"),
        ("image,Łódź, ważny\na,1,1\n".encode("iso8859-2"), r"neither text in UTF-8"),
        ("image,Größe\na,1\n".encode("mac-roman"), r"neither text in UTF-8"),
        ("image,A\na,1\n".encode("utf-16")[:-1], r"neither text in UTF-8"),
        (b"", r"the file is empty"),
        (b" \n;\n", r"is empty|no row below"),
    ],
)
def test_what_is_not_certain_is_one_message(tmp_path, content, message):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"t\.csv.*({message})"):
        read_table(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_lists(tmp_path, caplog, encoding):
    caplog.set_level("INFO")
    (tmp_path / "l.txt").write_bytes("a.png\r\n\r\nMüller;1.png\r\n".encode(encoding))
    assert read_names(tmp_path / "l.txt") == [("a.png", "line 1"), ("Müller;1.png", "line 3")]
    assert ("l.txt: text in" in caplog.text) == (encoding != "utf-8-sig")
    (tmp_path / "l.txt").write_bytes("“a”\n".encode("cp1252"))
    with pytest.raises(DataError, match=r"l\.txt: neither text in UTF-8"):
        read_names(tmp_path / "l.txt")
    (tmp_path / "l.txt.gz").write_bytes(gzip.compress(b"a\nb\n")[:-9])
    with pytest.raises(DataError, match=r"l\.txt\.gz: cannot be read"):
        read_names(tmp_path / "l.txt.gz")
