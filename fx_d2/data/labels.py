"""Class names of the published datasets, in their official order; an index into a tuple is an output of a head.

Pure data. Spelling is the publisher's, case and punctuation included.
"""

from __future__ import annotations

# CheXpert's column order. MIMIC-CXR-JPG has the same classes, but alphabetical columns: read it by name.
CHEXPERT = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)

# Order of the ChestX-ray14 paper; "Pleural_Thickening" has an underscore.
NIH_CXR14 = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)

# The classes with boxes; "Infiltration" is "Infiltrate" in the box list.
NIH_CXR14_BOX = NIH_CXR14[:8]

# The six image labels that Foundation X trains on, in its order: VinDr-CXR's own six global labels with
# "Pleural effusion" (which the reference abbreviates to PE) in place of "COPD".
VINDR_CXR = ("Pleural effusion", "Lung tumor", "Pneumonia", "Tuberculosis", "Other diseases", "No finding")

# "Pleural Thickening" has a space here.
CHESTX_DET = (
    "Atelectasis",
    "Calcification",
    "Cardiomegaly",
    "Consolidation",
    "Diffuse Nodule",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Fracture",
    "Mass",
    "Nodule",
    "Pleural Thickening",
    "Pneumothorax",
)

# Exactly one holds for an image.
RSNA_PNEUMONIA = ("Normal", "No Lung Opacity / Not Normal", "Lung Opacity")
RSNA_PNEUMONIA_BOX = ("Lung Opacity",)

TUBERCULOSIS = ("Tuberculosis",)
NODULE = ("Nodule",)
PNEUMOTHORAX = ("Pneumothorax",)

# All findings of VinDr-CXR, in the order of its columns: 22 local ones, which have boxes, and 6 global ones.
VINDR_CXR_LOCAL = (
    "Aortic enlargement",
    "Atelectasis",
    "Calcification",
    "Cardiomegaly",
    "Clavicle fracture",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Enlarged PA",
    "ILD",
    "Infiltration",
    "Lung Opacity",
    "Lung cavity",
    "Lung cyst",
    "Mediastinal shift",
    "Nodule/Mass",
    "Pleural effusion",
    "Pleural thickening",
    "Pneumothorax",
    "Pulmonary fibrosis",
    "Rib fracture",
    "Other lesion",
)
VINDR_CXR_ALL = (*VINDR_CXR_LOCAL, "COPD", "Lung tumor", "Pneumonia", "Tuberculosis", "Other diseases", "No finding")
# The classes of the Kaggle edition, which the method uses; it folds the other local ones into "Other lesion".
VINDR_CXR_BOX = (
    "Aortic enlargement",
    "Atelectasis",
    "Calcification",
    "Cardiomegaly",
    "Consolidation",
    "ILD",
    "Infiltration",
    "Lung Opacity",
    "Nodule/Mass",
    "Other lesion",
    "Pleural effusion",
    "Pleural thickening",
    "Pneumothorax",
    "Pulmonary fibrosis",
)
# Active and latent; the third category, uncertain, does not occur.
TBX11K_TYPES = ("Active Tuberculosis", "Obsolete Pulmonary Tuberculosis")

CHEXMASK = ("Heart", "Left Lung", "Right Lung")
RIBS = tuple(f"{side}{number}" for side in "RL" for number in range(1, 11))
SCR = ("Left Lung", "Right Lung", "Heart", "Left Clavicle", "Right Clavicle")
