"""DICOM: from a hospital's study tree to images and references that the evaluator reads.

index -> volumes (series, slices, units) -> plan (sessions, references) -> convert. Nothing that
identifies a patient leaves the private folder of the store.
"""

from evaluator.datasets.dicom.convert import convert_images
from evaluator.datasets.dicom.index import index_tree
from evaluator.datasets.dicom.plan import Plan, make_plan
from evaluator.datasets.dicom.reading import require_libraries
from evaluator.datasets.dicom.store import Store, open_store, source_files
from evaluator.datasets.dicom.survey import converted_survey, planned_survey, write_sources

__all__ = [
    "Plan",
    "Store",
    "convert_images",
    "converted_survey",
    "index_tree",
    "make_plan",
    "open_store",
    "planned_survey",
    "require_libraries",
    "source_files",
    "write_sources",
]
