"""From a trained network and image files to findings, boxes and masks in original pixels, and to files of them.

sources -> Predictor -> Prediction -> writers, pictures, dicom; weights loads the network, findings joins the heads,
operating_points calls findings, organs and cardiothoracic measure the heart.
"""

from .predictor import Prediction, Predictor

__all__ = ["Prediction", "Predictor"]
