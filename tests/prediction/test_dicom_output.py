"""DICOM results read back with pydicom and highdicom; the command line over a DICOM file and one without tags."""

import numpy as np
import pydicom
import pytest
from pydicom.errors import InvalidDicomError
from pydicom.filebase import DicomFileLike
from pydicom.uid import generate_uid

from fx_d2.commands import predict
from fx_d2.data.errors import DataError
from fx_d2.data.images import read_image
from fx_d2.phantoms.writing import write_dicom
from fx_d2.prediction import Prediction
from fx_d2.prediction.dicom import write_capture, write_segmentation
from tests.prediction.test_pictures import MASK, make

hd = pytest.importorskip("highdicom", reason="the extra 'dicom' is not installed")

TAGS = {
    "PatientName": "A^B",
    "PatientID": "7",
    "PatientBirthDate": "",
    "PatientSex": "",
    "StudyInstanceUID": generate_uid(),
    "SeriesInstanceUID": generate_uid(),
    "StudyDate": "20200101",
    "StudyTime": "120000",
    "StudyID": "1",
    "AccessionNumber": "",
    "ReferringPhysicianName": "",
    "SeriesNumber": 1,
    "InstanceNumber": 1,
    "Modality": "CR",
    "ImageType": ["ORIGINAL", "PRIMARY"],
    "PatientOrientation": ["L", "F"],
    "PixelSpacing": [0.2, 0.2],
}


@pytest.fixture
def radiograph(trained, tmp_path):
    path = tmp_path / "in" / "chest.dcm"
    path.parent.mkdir()
    write_dicom(path, read_image(trained.images[0]), tags=TAGS)
    return path


def named(path):
    prediction = make()
    return Prediction(str(path), prediction.image, prediction.classes, prediction.outputs, prediction.findings)


def test_a_segmentation_holds_the_masks(tmp_path):
    source = tmp_path / "x.dcm"
    write_dicom(source, np.full((400, 500), 90, np.uint8), tags=TAGS)
    prediction = named(source)
    assert write_segmentation(prediction, tmp_path / "seg.dcm", "teacher", "1", 0.3)
    seg = hd.seg.segread(tmp_path / "seg.dcm")
    original = pydicom.dcmread(source)
    assert seg.StudyInstanceUID == original.StudyInstanceUID and seg.PatientID == "7"
    (segment,) = seg.SegmentSequence
    assert segment.SegmentLabel == "Pneumothorax (siim_acr)"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator == "99FXD2"
    pixels = seg.get_pixels_by_source_instance([original.SOPInstanceUID])[0, ..., 0]
    np.testing.assert_array_equal(pixels > 0, prediction.outputs[MASK]["instances"].pred_masks[0].numpy())
    assert not write_segmentation(prediction, tmp_path / "none.dcm", "teacher", "1", 0.9)
    assert not (tmp_path / "none.dcm").exists()


def test_an_image_without_the_tags_that_a_result_must_repeat(tmp_path):
    source = tmp_path / "x.dcm"
    write_dicom(source, np.full((400, 500), 90, np.uint8))
    with pytest.raises(DataError, match="x.dcm: no DICOM segmentation can refer to it"):
        write_segmentation(named(source), tmp_path / "seg.dcm", "teacher", "1", 0.3)


@pytest.mark.parametrize("missing", [[], ["PatientID", "StudyDate", "AccessionNumber"]], ids=["whole", "bare"])
def test_what_can_be_read_can_be_written(tmp_path, missing):
    """A file of before 1993 that begins with its data: no preamble, no meta group, few attributes."""
    whole, source = tmp_path / "whole.dcm", tmp_path / "CR-1"
    pixels = np.full((400, 500), 90, np.uint8)
    write_dicom(whole, pixels, tags={key: value for key, value in TAGS.items() if key not in missing})
    original = pydicom.dcmread(whole)
    with source.open("wb") as stream:
        pydicom.filewriter.write_dataset(DicomFileLike(stream), original)
    with pytest.raises(InvalidDicomError):
        pydicom.dcmread(source)
    prediction = named(source)
    assert write_segmentation(prediction, tmp_path / "seg.dcm", "teacher", "1", 0.3)
    write_capture(prediction, np.zeros((400, 500, 3), np.uint8), tmp_path / "sc.dcm")
    seg, capture = hd.seg.segread(tmp_path / "seg.dcm"), pydicom.dcmread(tmp_path / "sc.dcm")
    for result in (seg, capture):
        assert result.StudyInstanceUID == original.StudyInstanceUID
        assert result.PatientID == ("" if missing else "7")
    assert len(seg.get_pixels_by_source_instance([original.SOPInstanceUID])) == 1


def test_the_tool_writes_dicom_for_dicom(trained, radiograph, tmp_path, capsys, fresh_catalog):
    arguments = ["--config-file", trained.config, "--input", str(radiograph), str(trained.images[1])]
    arguments += ["--output", str(tmp_path / "out"), "--threshold", "0", "--dicom-seg", "--dicom-sc", "--no-overlays"]
    predict.main([*arguments, "MODEL.WEIGHTS", trained.weights])
    assert "1 of them are no DICOM files" in capsys.readouterr().out
    folder = tmp_path / "out" / "dicom"
    capture = pydicom.dcmread(folder / "chest_sc.dcm")
    source = pydicom.dcmread(radiograph)
    assert capture.StudyInstanceUID == source.StudyInstanceUID != capture.SeriesInstanceUID
    assert capture.pixel_array.ndim == 3 and capture.pixel_array.shape[2] == 3
    assert "research use only" in capture.SeriesDescription
    seg = hd.seg.segread(folder / "chest_seg.dcm")
    assert {s.SegmentLabel for s in seg.SegmentSequence} <= {
        f"{name} (phantom_heart)" for name in ("Left Lung", "Right Lung", "Heart")
    }
    assert (seg.Rows, seg.Columns) == (source.Rows, source.Columns)
