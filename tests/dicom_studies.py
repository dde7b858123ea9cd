"""SYNTHETIC DICOM studies: series of slices, RTSTRUCT, with identifiers that tests search for."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

#: values that no output may hold
NAME, NUMBER, BIRTH, DAY = "Zuzka^Anonymova", "PID4711007", "19580317", "20190823"
#: a root that identifies every UID of the studies
UID_ROOT = "1.2.826.0.1.3680043.8.498.4711."
SOP_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
    "RTSTRUCT": "1.2.840.10008.5.1.4.1.1.481.3",
}
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def uid(text):
    """A UID that is the same for the same text."""
    return generate_uid(UID_ROOT, [text])


def plain(modality, series, subject=NUMBER):
    """The elements that all objects share."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = SOP_CLASSES[modality]
    dataset.Modality = modality
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = NAME, subject, BIRTH
    dataset.PatientSex = "O"
    dataset.StudyInstanceUID = uid(f"study {subject}")
    dataset.SeriesInstanceUID = uid(f"{subject} {series}")
    dataset.FrameOfReferenceUID = uid(f"frame {subject}")
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = DAY
    dataset.StudyTime = "110000"
    dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = "113000"
    dataset.StudyID = dataset.AccessionNumber = "ACC4711008"
    dataset.ReferringPhysicianName = "Medova^Karla"
    dataset.SeriesNumber = sum(series.encode()) % 900 + 1
    return dataset


def make_slice(modality, array, place, *, series="", number=1, spacing=(2.0, 2.0), **elements):
    """A slice; ``array`` holds stored values (rows, columns), ``place`` is in LPS millimetres."""
    subject = elements.pop("subject", NUMBER)
    orientation = elements.pop("orientation", AXIAL)
    dataset = plain(modality, series or modality, subject)
    dataset.SOPInstanceUID = uid(f"{subject} {series or modality} {number}")
    dataset.InstanceNumber = number
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.ImagePositionPatient = [float(value) for value in place]
    dataset.ImageOrientationPatient = list(orientation)
    dataset.PixelSpacing = list(spacing)
    dataset.Rows, dataset.Columns = array.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    dataset.PixelData = array.astype("<i2").tobytes()
    if modality != "MR":
        dataset.RescaleSlope, dataset.RescaleIntercept = 1.0, 0.0
    if modality == "PT":
        add_pet(dataset)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def add_pet(dataset):
    """70 kg, 350 MBq of F-18 an hour before the series' time."""
    tracer = Dataset()
    tracer.RadiopharmaceuticalStartTime = "103000"
    tracer.RadionuclideTotalDose = 3.5e8
    tracer.RadionuclideHalfLife = 6588.0
    dataset.RadiopharmaceuticalInformationSequence = [tracer]
    dataset.PatientWeight = 70.0
    dataset.Units, dataset.DecayCorrection = "BQML", "START"
    dataset.CorrectedImage = ["DECY", "ATTN", "SCAT"]
    dataset.FrameReferenceTime, dataset.ActualFrameDuration = 0.0, 120000


def save(dataset, path):
    """Write an object as a DICOM file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format=True)


def save_series(folder, modality, volume, *, origin=(0, 0, 0), step=(0, 0, 3), **elements):
    """A series of ``volume`` (slices, rows, columns); the slices' files are in no order."""
    slices = []
    for k, array in enumerate(volume):
        place = np.array(origin, float) + k * np.array(step, float)
        slices.append(make_slice(modality, array, place, number=k + 1, **elements))
    for k, dataset in enumerate(slices):
        save(dataset, folder / f"{(k * 7) % len(slices):03d}-{k}.dcm")
    return slices


def make_structures(images, structures):
    """An RTSTRUCT on a series: name -> contours, each (n, 3) in LPS millimetres."""
    dataset = plain("RTSTRUCT", "structures", images[0].PatientID)
    dataset.SOPInstanceUID = uid(f"structures {images[0].SeriesInstanceUID}")
    dataset.SeriesInstanceUID = uid(f"series of {dataset.SOPInstanceUID}")
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = images[0].SeriesInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID = images[0].FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    dataset.ReferencedFrameOfReferenceSequence = [frame]
    names, drawn = [], []
    for number, (name, contours) in enumerate(structures.items(), start=1):
        about = Dataset()
        about.ROINumber, about.ROIName = number, name
        names.append(about)
        of_structure = Dataset()
        of_structure.ReferencedROINumber = number
        of_structure.ContourSequence = [make_contour(points) for points in contours]
        drawn.append(of_structure)
    dataset.StructureSetROISequence, dataset.ROIContourSequence = names, drawn
    return dataset


def make_contour(points, kind="CLOSED_PLANAR"):
    """A contour of an RTSTRUCT."""
    contour = Dataset()
    contour.ContourGeometricType = kind
    contour.NumberOfContourPoints = len(points)
    contour.ContourData = [f"{value:.6f}" for value in np.ravel(points)]
    return contour


def square(low, high, z):
    """The corners of a square in an axial plane."""
    return np.array([(low, low, z), (high, low, z), (high, high, z), (low, high, z)], float)


def save_petct(folder, subject=NUMBER, *, name="Zuzka Anonymova"):
    """A PET/CT study in folders named after the patient, with a liver drawn on the CT.

    CT is 20 x 24 x 9 voxels of 2 x 2 x 3 mm, PET 10 x 12 x 9 of 4 x 4 x 3 mm.
    """
    random = np.random.default_rng(list(subject.encode()))
    tree = folder / name / DAY
    body = random.integers(-60, 60, (9, 24, 20)) + 1024
    ct = save_series(
        tree / "CT", "CT", body, subject=subject, RescaleIntercept=-1024.0, RescaleSlope=1.0
    )
    counts = random.integers(1, 2000, (9, 12, 10))
    slices = []
    for k, array in enumerate(counts):
        place, number = (1.0, 1.0, 3.0 * k), k + 1
        slices.append(
            make_slice(
                "PT", array, place, number=number, spacing=(4.0, 4.0), subject=subject,
                RescaleSlope=1.5 + k / 4,
            )
        )  # fmt: skip
        save(slices[-1], tree / "PET" / f"{number}.dcm")
    # another size for every other subject, as no two patients are equal
    high = 27.0 if subject == NUMBER else 21.0 + 2 * (int(subject[-1]) % 3)
    contours = [square(7.0, high, 3.0 * k) for k in range(2, 7)]
    save(make_structures(ct, {"liver": contours}), tree / "RS" / f"{subject}.dcm")
    return ct, slices
