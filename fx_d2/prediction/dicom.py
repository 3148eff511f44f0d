"""Predictions as DICOM beside the image they belong to: a segmentation of the masks, and the picture as a capture.

Needs the extra "dicom" (highdicom). Codes are of a private scheme, 99FXD2, with the class name as meaning: a class of a
dataset is defined by that dataset's labelling rules, not by a terminology.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from ..data.errors import DataError
from ..data.formats.dicom import read_dataset
from ..data.formats.signatures import recognise
from ..files import replacing
from .predictor import Prediction

SCHEME = "99FXD2"
_MAKER = "fx_d2"
# Series numbers far from those of modalities.
_SEG_SERIES, _SC_SERIES = 9301, 9302
# Attributes of patient and study that every DICOM object has and that may be empty (type 2, PS3.3 C.7.1.1, C.7.2.1).
_MAY_BE_EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)


def require_highdicom() -> None:
    """
    Raises:
        DataError: highdicom is not installed.
    """
    if importlib.util.find_spec("highdicom") is None:
        raise DataError("DICOM results need the package highdicom: pip install 'fx_d2[dicom]'")


def is_dicom(path: str | Path) -> bool:
    return recognise(Path(path)) == "dicom"


def write_segmentation(
    prediction: Prediction, path: Path, model: str, version: str, threshold: float, notice: str = ""
) -> bool:
    """Writes the masks of all mask heads as one binary DICOM SEG that refers to the image; segments may overlap.

    A segment is one class of one head, all of its instances together.

    Args:
        prediction: of a DICOM file. path: of the result.
        model, version: written down as the algorithm.
        threshold: lowest score of an instance.
        notice: of the weights, for the description (its first 64 characters, which DICOM allows).

    Returns:
        False, and nothing is written, where no mask reaches the threshold: a SEG needs a segment.

    Raises:
        DataError: the image lacks what a SEG must repeat; the message names the file.
    """
    import highdicom as hd

    regions = _regions(prediction, threshold)
    if not regions:
        return False
    source = _source(prediction)
    try:
        result = hd.seg.Segmentation(
            source_images=[source],
            pixel_array=np.stack(list(regions.values()), axis=-1)[None].astype(np.uint8),
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=_segments(hd, list(regions), model, version),
            series_number=_SEG_SERIES,
            software_versions=version,
            device_serial_number="0",
            manufacturer_model_name=f"{_MAKER} {model}",
            content_label="PREDICTION",
            content_description=notice[:64] or "Research use only",
            omit_empty_frames=False,
            **_identity(),
        )
    except (AttributeError, ValueError, TypeError) as error:
        raise DataError(f"{prediction.name}: no DICOM segmentation can refer to it ({error})") from error
    shared = result.SharedFunctionalGroupsSequence[0]
    if "PixelMeasuresSequence" in shared and "SliceThickness" not in shared.PixelMeasuresSequence[0]:
        # A radiograph has no slices, and highdicom itself would not open the file again; pixels are the image's own.
        del shared.PixelMeasuresSequence
    _save(result, path)
    return True


def _segments(hd, labels: list[str], model: str, version: str) -> list:
    algorithm = hd.AlgorithmIdentificationSequence(
        name=f"{_MAKER} {model}", version=version, family=_code(hd, "Neural network")
    )
    return [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=label[:64],
            segmented_property_category=_code(hd, "Predicted region"),
            segmented_property_type=_code(hd, label),
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
        )
        for number, label in enumerate(labels, start=1)
    ]


def write_capture(prediction: Prediction, picture: np.ndarray, path: Path) -> None:
    """Writes a picture, uint8 RGB (H, W, 3), as a secondary capture in the study of the image.

    Raises:
        DataError: the image lacks what a capture must repeat; the message names the file.
    """
    import highdicom as hd

    source = _source(prediction)
    try:
        capture = hd.sc.SCImage.from_ref_dataset(
            ref_dataset=source,
            pixel_array=np.ascontiguousarray(picture),
            photometric_interpretation=hd.PhotometricInterpretationValues.RGB,
            bits_allocated=8,
            coordinate_system=hd.CoordinateSystemNames.PATIENT,
            patient_orientation=source.get("PatientOrientation") or ("L", "F"),
            series_number=_SC_SERIES,
            transfer_syntax_uid=ExplicitVRLittleEndian,
            **_identity(),
        )
    except (AttributeError, ValueError, TypeError) as error:
        raise DataError(f"{prediction.name}: no DICOM capture can refer to it ({error})") from error
    capture.SeriesDescription = "fx_d2 prediction, research use only"
    _save(capture, path)


def _source(prediction: Prediction) -> Dataset:
    """The image that a result refers to, whatever can be read; what must be there and may be empty is added."""
    source = read_dataset(Path(prediction.name))
    for key in _MAY_BE_EMPTY:
        if key not in source:
            setattr(source, key, "")
    return source


def _save(result: Dataset, path: Path) -> None:
    with replacing(path, flush=False) as stream:
        result.save_as(stream, enforce_file_format=True)


def _regions(prediction: Prediction, threshold: float) -> dict[str, np.ndarray]:
    """``CLASS (DATASET)`` -> bool (H, W)."""
    regions: dict[str, np.ndarray] = {}
    for unit in (unit for unit in prediction.outputs if unit.task == "mask"):
        instances = prediction.instances(str(unit), threshold)
        for mask, k in zip(instances.pred_masks.numpy(), instances.pred_classes.tolist(), strict=True):
            label = f"{prediction.classes[unit].names[k]} ({unit.dataset})"
            regions[label] = regions[label] | mask if label in regions else mask
    return regions


def _code(hd, meaning: str):
    """The same meaning has the same code in every file."""
    value = hashlib.sha256(meaning.encode()).hexdigest()[:12].upper()
    return hd.sr.CodedConcept(value=value, scheme_designator=SCHEME, meaning=meaning[:64])


def _identity() -> dict:
    return {
        "series_instance_uid": generate_uid(),
        "sop_instance_uid": generate_uid(),
        "instance_number": 1,
        "manufacturer": _MAKER,
    }
