"""DICOM files against pydicom's own display functions and values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_windowing

from fx_d2.data.errors import DataError
from fx_d2.data.formats import dicom
from fx_d2.data.images import image_size, read_header, read_image
from fx_d2.phantoms.writing import write_dicom
from tests.real_data import REAL

RAMP = (np.arange(40 * 32) * 4095 // 1279).astype(np.uint16).reshape(40, 32)  # 0..4095, rising


def shown(tmp_path, pixels, bits=None, compression="none", **tags):
    path = tmp_path / "x"
    write_dicom(path, pixels, bits, compression, tags)
    image = read_image(path)
    assert image.dtype == np.uint8 and image.shape == pixels.shape == image_size(path)
    return image


@pytest.mark.parametrize("compression", ["none", "implicit", "jpeg2000", "rle"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_every_depth_and_compression_gives_the_scaled_picture(tmp_path, compression, bits):
    values = np.linspace(0, 2**bits - 1, 40 * 32).round().astype(np.uint8 if bits == 8 else np.uint16).reshape(40, 32)
    expected = np.rint(values * (255 / (2**bits - 1)))
    assert np.array_equal(shown(tmp_path, values, bits, compression), expected)


def test_monochrome1_is_inverted_once(tmp_path):
    values = np.array([[0, 100], [200, 255]], np.uint8)
    assert shown(tmp_path, values, PhotometricInterpretation="MONOCHROME1").tolist() == [[255, 155], [55, 0]]
    twice_said = {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}
    assert shown(tmp_path, values, **twice_said).tolist() == [[255, 155], [55, 0]]
    deep = shown(tmp_path, RAMP, 12, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(deep, np.rint(255 - RAMP * (255 / 4095)))


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (2, -1024), (0.5, 10)])
@pytest.mark.parametrize("signed", [False, True])
def test_windows_agree_with_pydicom(tmp_path, function, slope, intercept, signed):
    pixels = RAMP.astype(np.int16) - 2048 if signed else RAMP
    centre, width = 900 * slope + intercept, 700 * slope
    tags = {"WindowCenter": centre, "WindowWidth": width, "VOILUTFunction": function}
    tags.update(RescaleSlope=slope, RescaleIntercept=intercept)
    image = shown(tmp_path, pixels, 12, **tags)
    dataset = dcmread(tmp_path / "x")
    theirs = apply_windowing(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    low, high = (v * slope + intercept for v in ((-2048, 2047) if signed else (0, 4095)))
    assert np.abs(image - (theirs - low) / (high - low) * 255).max() <= 0.5 + 1e-6
    assert image.min() < 10 and image.max() > 245


def test_the_first_of_several_windows_counts(tmp_path):
    image = shown(tmp_path, RAMP, 12, WindowCenter=[1000, 3000], WindowWidth=[201, 4000])
    # PS3.3 C.11.2.1.2: black up to c - 0.5 - (w - 1) / 2 = 899.5, white above 1099.5.
    assert (image[RAMP <= 899] == 0).all() and (image[RAMP >= 1100] == 255).all()
    inside = (RAMP > 899) & (RAMP < 1100)
    assert np.abs(image[inside] - (RAMP[inside] - 899.5) / 200 * 255).max() <= 0.5


def test_a_window_of_width_one_is_a_step_and_a_useless_one_is_reported(tmp_path, caplog):
    image = shown(tmp_path, RAMP, 12, WindowCenter=1000, WindowWidth=1)
    assert np.array_equal(image, np.where(RAMP > 999.5, 255, 0))
    assert not caplog.records
    image = shown(tmp_path, RAMP, 12, WindowCenter=30000, WindowWidth=100)
    assert np.array_equal(image, np.rint(RAMP * (255 / 4095)))
    assert "single shade" in caplog.text and str(tmp_path / "x") in caplog.text


@pytest.mark.parametrize("entries", [{"WindowCenter": "", "WindowWidth": ""}, {"WindowCenter": 5, "WindowWidth": 0}])
def test_blank_windows_are_none(tmp_path, entries):
    assert np.array_equal(shown(tmp_path, RAMP, 12, **entries), np.rint(RAMP * (255 / 4095)))


def lut(first: int, values: list[int], bits: int, explanation: str) -> list[Dataset]:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values), first, bits])
    item.add_new("LUTData", "US", values)
    setattr(item, *explanation)
    return [item]


def test_voi_lut_goes_before_the_window(tmp_path):
    table = lut(10, [0, 1000, 3000, 4095], 12, ("LUTExplanation", "x"))
    pixels = np.array([[0, 10, 11], [12, 13, 500]], np.uint16)
    tags = {"VOILUTSequence": table, "WindowCenter": 100, "WindowWidth": 10}
    white = 255 / 4095
    expected = np.rint(np.array([[0, 0, 1000 * white], [3000 * white, 255, 255]]))
    assert np.array_equal(shown(tmp_path, pixels, 12, **tags), expected)
    # A table that declares 16 bits but reaches only 12.
    tags["VOILUTSequence"] = lut(10, [0, 1000, 3000, 4095], 16, ("LUTExplanation", "x"))
    assert np.array_equal(shown(tmp_path, pixels, 12, **tags), expected)


def test_modality_lut_comes_first(tmp_path):
    table = lut(0, [0, 255, 1023, 0], 10, ("ModalityLUTType", "US"))
    pixels = np.array([[0, 1], [2, 3]], np.uint16)
    image = shown(tmp_path, pixels, 10, ModalityLUTSequence=table, WindowCenter=512, WindowWidth=1024)
    assert np.array_equal(image, [[0, 64], [255, 0]])


def test_values_below_zero_are_scaled_by_their_range(tmp_path):
    pixels = np.linspace(-500, 1500, 1280).round().astype(np.int16).reshape(40, 32)
    pixels[0, 0] = 32767  # one dead element in 1280 is within the 0.1 % that do not count
    image = shown(tmp_path, pixels)
    assert image[0, 1] <= 1 and image[0, 0] == 255 and abs(int(image[-1, -20]) - 252) <= 2


def test_padding_is_black_in_either_polarity(tmp_path):
    pixels = RAMP + 1
    pixels[:, :4] = 0
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        image = shown(tmp_path, pixels, PhotometricInterpretation=photometric, PixelPaddingValue=0)
        assert (image[:, :4] == 0).all() and image.max() > 250
    pixels[:, 0] = 3
    tags = {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 3, "PhotometricInterpretation": "MONOCHROME1"}
    image = shown(tmp_path, pixels, **tags)
    assert (image[:, :4] == 0).all()


def test_overlays_in_unused_bits_are_masked(tmp_path):
    clean = shown(tmp_path, RAMP, 12)
    overlaid = RAMP | np.uint16(0x8000)
    assert np.array_equal(shown(tmp_path, overlaid, 12), clean)
    shifted = (RAMP << 4) | np.uint16(5)
    assert np.array_equal(shown(tmp_path, shifted, 12, HighBit=15), clean)
    negative = (RAMP.astype(np.int32) - 2048).astype(np.int16)
    window = {"WindowCenter": 0, "WindowWidth": 4096}
    masked = (negative.view(np.uint16) & 0x0FFF).view(np.int16)  # sign bits cut off, as some devices store it
    assert np.array_equal(shown(tmp_path, masked, 12, **window), shown(tmp_path, negative, 12, **window))


def test_more_bits_in_the_stream_than_the_header_says(tmp_path):
    """VinDr-CXR has JPEG 2000 files of 14 or 16 bits whose header says fewer."""
    pixels = RAMP * 4  # 14 bits
    dataset = write_dicom(tmp_path / "x", pixels, 14, "jpeg2000")
    dataset.BitsStored, dataset.HighBit = 12, 11
    dataset.save_as(tmp_path / "x")
    assert np.array_equal(read_image(tmp_path / "x"), np.rint(pixels * (255 / 16383)))


def test_colour_becomes_luminance(tmp_path):
    colour = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)
    tags = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    path = tmp_path / "c.dcm"
    write_dicom(path, colour[..., 0], tags={**tags, "PixelData": colour.tobytes()})
    assert np.abs(read_image(path) - colour @ np.array([0.299, 0.587, 0.114])).max() <= 1
    assert image_size(path) == (8, 6)


def test_palette_colours_are_looked_up(tmp_path):
    pixels = np.array([[0, 1], [2, 1]], np.uint8)
    tags = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [3, 0, 16]
        tags[f"{colour}PaletteColorLookupTableData"] = np.array([10, 200, 90], "<u2").__lshift__(8).tobytes()
    write_dicom(tmp_path / "p", pixels, tags=tags)
    assert read_image(tmp_path / "p").tolist() == [[10, 200], [90, 200]]


@pytest.mark.parametrize("compression", ["none", "implicit", "jpeg2000", "rle"])
@pytest.mark.parametrize("kept", ["magic", "meta", "bare"])
def test_missing_preamble_and_file_meta(tmp_path, compression, kept):
    path = tmp_path / "1.2.826.0.1"  # CANDID-PTX: no ending; the rest after the last dot is none
    write_dicom(path, RAMP, 12, compression)
    data = path.read_bytes()
    meta_length = 132 + 12 + int.from_bytes(data[140:144], "little")
    path.write_bytes({"magic": data[128:], "meta": data[132:], "bare": data[meta_length:]}[kept])
    assert read_header(path).kind == "dicom" and image_size(path) == RAMP.shape
    assert np.array_equal(read_image(path), np.rint(RAMP * (255 / 4095)))


LOSSLESS = {
    "JPEGLosslessProcess14": ".57",
    "JPEGLosslessProcess14_1": ".70",
    "JPEGLSLossless": ".80",
    "RLELossless": "5",
}


@pytest.mark.parametrize("syntax", [*LOSSLESS, "JPEGBaselineProcess1"])
def test_other_compressions_by_the_optional_plugin(tmp_path, syntax):
    gdcm = pytest.importorskip("gdcm")
    if syntax.startswith("JPEGLS"):
        pytest.importorskip("jpeg_ls")
    bits = 8 if "Baseline" in syntax else 12
    y, x = np.mgrid[:64, :48]
    pixels = ((1 + np.sin(x / 9) * np.cos(y / 11)) / 2 * (2**bits - 1)).round().astype("u1" if bits == 8 else "u2")
    write_dicom(tmp_path / "plain", pixels, bits, tags={"WindowCenter": 2 ** (bits - 1), "WindowWidth": 2**bits})
    reader = gdcm.ImageReader()
    reader.SetFileName(str(tmp_path / "plain"))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(tmp_path / "packed"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    named = dcmread(tmp_path / "packed").file_meta.TransferSyntaxUID
    assert named.is_compressed and image_size(tmp_path / "packed") == (64, 48)
    difference = np.abs(read_image(tmp_path / "packed").astype(int) - read_image(tmp_path / "plain")).max()
    assert named.endswith(LOSSLESS[syntax]) and difference == 0 if syntax in LOSSLESS else difference <= 3


def test_deflated_and_big_endian(tmp_path):
    dataset = write_dicom(tmp_path / "x", RAMP, 12)
    for syntax in ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"):
        dataset.file_meta.TransferSyntaxUID = syntax
        if syntax.endswith("2.2"):
            dataset.PixelData = RAMP.astype(">u2").tobytes()
        path = tmp_path / syntax
        dataset.save_as(path, implicit_vr=False, little_endian="99" in syntax)
        assert image_size(path) == RAMP.shape
        assert np.array_equal(read_image(path), np.rint(RAMP * (255 / 4095)))


def test_spacing_prefers_the_patient_plane(tmp_path):
    spacing = {"ImagerPixelSpacing": [0.2, 0.3], "NominalScannedPixelSpacing": [0.5, 0.5]}
    path = tmp_path / "x"
    write_dicom(path, RAMP, 12, tags=spacing)
    assert read_header(path).spacing == (0.2, 0.3)
    write_dicom(path, RAMP, 12, tags={**spacing, "PixelSpacing": [0.1, 0.15]})
    assert read_header(path).spacing == (0.1, 0.15)
    write_dicom(path, RAMP, 12, tags={"PixelSpacing": [0, 0]})
    assert read_header(path).spacing is None
    assert read_header(path).bits == 12


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"NumberOfFrames": 3}, "3 frames"),
        ({"Rows": None}, "no Rows"),
        ({"PixelData": None}, "no pixels"),
        ({"BitsAllocated": 32}, "BitsAllocated 32"),
        ({"Rows": 0}, "32 x 0 pixels"),
        ({"Rows": 60000, "Columns": 60000}, "60000 x 60000"),
        ({"Rows": 41}, "25.. (of|vs) 2624 bytes"),
    ],
)
def test_headers_that_are_no_radiograph(tmp_path, tags, message):
    path = tmp_path / "x.dcm"
    write_dicom(path, RAMP, 12, tags=tags)
    for reader in (read_image, image_size):
        with pytest.raises(DataError, match=rf"x\.dcm: .*{message}"):
            reader(path)


@pytest.mark.parametrize("compression", ["none", "jpeg2000", "rle"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
def test_files_cut_short(tmp_path, compression, share):
    path = tmp_path / "x.dcm"
    write_dicom(path, np.random.default_rng(0).integers(0, 4096, (64, 64), dtype=np.uint16), 12, compression)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    for reader in (read_image, image_size):
        with pytest.raises(DataError, match=r"x\.dcm: "):
            reader(path)


def test_a_header_value_that_cannot_be_converted(tmp_path):
    path = tmp_path / "x.dcm"
    write_dicom(path, RAMP, 12)
    data = path.read_bytes()
    rows = data.index(b"\x28\x00\x10\x00US")
    path.write_bytes(data[: rows + 4] + b"U8" + data[rows + 6 :])
    for reader in (read_image, image_size):
        with pytest.raises(DataError, match=r"x\.dcm: the DICOM header is damaged") as caught:
            reader(path)
        assert "\n" not in str(caught.value)


def test_a_missing_plugin_is_named_with_its_command(tmp_path, monkeypatch):
    class Absent:
        available_plugins = ("gdcm",)  # which is not trusted with this syntax

    path = tmp_path / "x.dcm"
    write_dicom(path, RAMP, 12, "jpeg2000")
    monkeypatch.setattr(dicom, "get_decoder", lambda syntax: Absent)
    with pytest.raises(DataError, match=r"x\.dcm: .*JPEG 2000.*pip install pylibjpeg pylibjpeg-openjpeg"):
        read_image(path)
    assert image_size(path) == RAMP.shape


def test_damage_that_a_decoder_finds_is_one_quiet_error(tmp_path, caplog):
    path = tmp_path / "x.dcm"
    dataset = write_dicom(path, RAMP, 12, "jpeg2000")
    dataset.PixelData = dataset.PixelData[:60] + bytes(len(dataset.PixelData) - 68) + dataset.PixelData[-8:]
    dataset.save_as(path)
    with pytest.raises(DataError, match=r"x\.dcm: the pixels \(JPEG 2000") as caught:
        read_image(path)
    assert "\n" not in str(caught.value) and not caplog.records


def test_video_is_refused(tmp_path):
    dataset = write_dicom(tmp_path / "x", RAMP, 12, "rle")
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    dataset.save_as(tmp_path / "x")
    with pytest.raises(DataError, match="MPEG-4"):
        read_image(tmp_path / "x")


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared real radiographs are not there")
def test_genuine_files():
    folder = REAL / "formats" / "genuine" / "dicom"
    bare = read_image(folder / "CR-MONO1-10-chest")  # window 550 / 1024 of 10 bits, MONOCHROME1, no preamble, no meta
    stored = np.frombuffer((folder / "CR-MONO1-10-chest").read_bytes()[-440 * 440 * 2 :], "<u2").reshape(440, 440)
    expected = 255 - np.clip((stored - 549.5) / 1023 + 0.5, 0, 1) * 255
    assert np.abs(bare - expected).max() <= 0.5 + 1e-6
    flagged = read_image(folder / "monochrome1_flag_only.dcm")
    plain = read_image(min((REAL / "formats" / "genuine" / "siim").rglob("*.dcm")))
    assert np.array_equal(flagged, 255 - plain)
    assert read_header(folder / "monochrome1_flag_only.dcm").spacing == (0.168, 0.168)


def test_raw_and_contradictory_headers_are_remarked_and_read_by_their_photometric_interpretation(tmp_path):
    values = np.array([[0, 100], [200, 255]], np.uint8)
    for photometric, shape, expected, contradiction in (
        ("MONOCHROME2", "INVERSE", values, True),
        ("MONOCHROME1", "IDENTITY", 255 - values, True),
        ("MONOCHROME2", "IDENTITY", values, False),
        ("MONOCHROME1", "INVERSE", 255 - values, False),
    ):
        tags = {"PhotometricInterpretation": photometric, "PresentationLUTShape": shape}
        assert np.array_equal(shown(tmp_path, values, **tags), expected)
        tags = f"{photometric}, which is followed, and PresentationLUTShape {shape}"
        said = (f"images whose tags contradict each other ({tags})",)
        assert read_header(tmp_path / "x").remarks == (said if contradiction else ())
    raw = shown(tmp_path, RAMP, 12, PresentationIntentType="FOR PROCESSING")
    assert np.array_equal(raw, np.rint(RAMP * (255 / 4095)))
    assert read_header(tmp_path / "x").remarks == ("raw detector images (PresentationIntentType FOR PROCESSING)",)


def test_by_range_where_the_file_declares_no_window(tmp_path):
    narrow = RAMP // 16 + 3000  # 3000..3255, of 4095
    write_dicom(tmp_path / "x", narrow, 12)
    assert np.array_equal(read_image(tmp_path / "x"), np.rint(narrow * (255 / 4095)))
    by_range = read_image(tmp_path / "x", "range")
    assert by_range.min() == 0 and by_range.max() == 255
    assert np.abs(by_range.astype(int) - (narrow - 3000)).max() <= 1  # 256 values onto 256 greys
    write_dicom(tmp_path / "x", narrow, 12, "none", {"WindowCenter": 2048, "WindowWidth": 4096})
    assert np.array_equal(read_image(tmp_path / "x", "range"), read_image(tmp_path / "x"))
