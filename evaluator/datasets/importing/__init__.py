"""Import a folder of images: find scans by a layout, then write manifest and case list."""

from evaluator.datasets.importing.found import FoundScan, LeftOut, Survey
from evaluator.datasets.importing.layouts import LAYOUTS, survey_folder
from evaluator.datasets.importing.write import DatasetText, write_dataset

__all__ = [
    "LAYOUTS",
    "DatasetText",
    "FoundScan",
    "LeftOut",
    "Survey",
    "survey_folder",
    "write_dataset",
]
