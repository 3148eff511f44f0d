"""Package and dependencies of fx_d2, each with its reason. Settings of tools are in pyproject.toml."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "fx_d2" / "__init__.py").read_text(encoding="utf-8"))[1]


class BuildWithConfigs(build_py):
    """The configurations go into the package as it is built, as Detectron2's do; an editable one reads the clone's."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copytree(ROOT / "configs", Path(self.build_lib) / "fx_d2" / "configs", dirs_exist_ok=True)


# Detectron2 is needed too, but has no release of its own on the registry: `fx-d2 install-detectron2` installs it,
# without its dependencies, so these are listed here, where pip resolves them together with ours.
INSTALL_REQUIRES = [
    "torch>=2.6",  # tensors, autograd, DDP
    "torchvision",  # NMS and ROI operators used by Detectron2; pip picks the version that fits torch
    "numpy",  # images and masks on their way to tensors
    "scipy",  # Hungarian matching
    "scikit-learn",  # AUROC and average precision of findings
    "pillow",  # PNG, JPEG and GIF headers and masks; JPEG inside DICOM (RSNA, SIIM); image files in Detectron2
    "pydicom>=3.0.1",  # DICOM radiographs: VinDr-CXR, RSNA, SIIM, CANDID-PTX
    # JPEG 2000 inside DICOM (a third of VinDr-CXR) at every depth; MIT, as its frame pylibjpeg. JPEG lossless and
    # JPEG-LS need more (extra "dicom").
    "pylibjpeg",
    "pylibjpeg-openjpeg>=2",
    "platformdirs",  # the user's cache folder, where decoded images are kept
    # Image files, warps, drawing; Detectron2's Visualizer imports it without declaring it. The headless build needs
    # no display libraries, which servers lack; it must be the only OpenCV in the environment.
    "opencv-python-headless",
    "safetensors",  # weights in a format that cannot run code, for import and export
    "pycocotools",  # COCO boxes, RLE masks, COCO average precision
    "jinja2",  # the report's page and the model card
    "matplotlib",  # training curves; Detectron2's Visualizer
    "pyyaml",  # configurations and users' dataset files
    "tabulate",  # tables in the log
    "tensorboard",  # Detectron2's event writer
    "termcolor",  # Detectron2's log
    "tqdm",  # Detectron2's progress bars
    "cloudpickle",  # Detectron2's loader workers
    "packaging",  # Detectron2's version checks
    "yacs",  # Detectron2's CfgNode, through fvcore
    "fvcore",  # Detectron2's base library: checkpoints, registries, parameter counts
    "iopath<0.1.10",  # Detectron2's file access; the range its own setup.py asks for
    "omegaconf<2.4",  # Detectron2's lazy configurations; the range its own setup.py asks for
    "hydra-core",  # Detectron2's lazy configurations
    # Detectron2's model_zoo imports pkg_resources, which left setuptools in version 82; 77 reads our license field.
    "setuptools>=77,<81",
]

EXTRAS_REQUIRE = {
    # COCO evaluation many times faster than by pycocotools, equal to the last bit; used where it is installed.
    "fast": ["hotcoco>=1.3"],
    "wandb": ["wandb"],  # FX.WANDB.ENABLED: curves on Weights & Biases beside TensorBoard
    "dicom": [
        # Compressions that no built-in dataset is known to use: JPEG lossless (13 MB; pylibjpeg-libjpeg would do, and
        # 12-bit JPEG, too, but is under the GPL) and JPEG-LS.
        "python-gdcm",
        "pyjpegls",
        "highdicom",  # predictions as DICOM segmentations and secondary captures
    ],
    "demo": ["nicegui"],  # fx-d2 demo: a page that needs no internet, all of its files come from this computer
    "export": [
        "onnx",  # ONNX files
        "onnxruntime",  # runs them, to compare them with the network
    ],
    "docs": [
        "mkdocs-material",  # make docs: the pages as a site that needs no server and no internet
        "mkdocstrings[python]",  # make docs: the API from the docstrings
    ],
    "dev": [
        "pytest",  # make test
        "timm",  # tests: its Swin features are what ours must be, and its model loads our export
        "ruff",  # make lint
        "mypy",  # make lint
        "types-pyyaml",  # for mypy
        "types-tabulate",
        "types-tqdm",
        "playwright",  # the report and the demo in a real browser; drives the system's Chromium, downloads none
        "hotcoco>=1.3",  # compared with pycocotools
        "python-gdcm",  # writes JPEG lossless and JPEG-LS files for the tests of DICOM
        "pyjpegls",  # reads them
        # A second opinion on MetaImage files. To read them it is not needed: 260 MB for a text header over raw numbers.
        "SimpleITK",
        "globox>=2.9",  # writes YOLO and Pascal VOC files of a COCO file for the tests
        "highdicom",  # DICOM output
        "onnx",  # export
        "onnxruntime",  # export
        "nicegui",  # the demo page
    ],
}

setup(
    name="fx_d2",
    version=VERSION,
    description="Cyclic multi-task training of chest radiograph models on Detectron2",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["fx_d2", "fx_d2.*"]),
    package_data={
        "fx_d2.prediction": ["findings.yaml"],  # which heads mean the same finding
        "fx_d2": ["py.typed", "pretrained/*"],  # weights and their model card
        "fx_d2.report": ["templates/*"],  # the report's page
    },
    entry_points={"console_scripts": ["fx-d2 = fx_d2.commands.cli:main"]},
    cmdclass={"build_py": BuildWithConfigs},
    install_requires=INSTALL_REQUIRES,
    extras_require=EXTRAS_REQUIRE,
)
