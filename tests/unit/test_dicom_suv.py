"""SUV by body weight of each vendor's PET, against values computed here from first principles."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydicom.dataset import Dataset

from evaluator.datasets.dicom.frames import frame_rescale, with_pet_elements
from evaluator.datasets.dicom.suv import mean_rate_time, same_way, suv_scale
from evaluator.errors import VolumeError
from tests.dicom_studies import NAME, NUMBER, make_slice

HALF_LIFE = 6588.0
#: g of body weight by Bq of dose, without decay
UNDECAYED = 70_000 / 3.5e8


def pet(**elements):
    return make_slice("PT", np.ones((2, 2)), (0, 0, 0), **elements)


def decayed(seconds):
    """SUV of 1 Bq/ml, if the dose decayed for so long."""
    return UNDECAYED * math.exp(math.log(2) * seconds / HALF_LIFE)


def tracer(dataset, **elements):
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset.RadiopharmaceuticalInformationSequence[0], keyword)
        else:
            setattr(dataset.RadiopharmaceuticalInformationSequence[0], keyword, value)
    return dataset


def with_private(dataset, group, creator, element, vr, value):
    block = dataset.private_block(group, creator, create=True)
    block.add_new(element, vr, value)
    return dataset


def siemens_resaved(**elements):
    """The series' time is later than the acquisition's, as after post-processing.

    The frame of the second bed position: it began 300 s after the scan, and FrameReferenceTime
    counts from the scan's beginning to the moment of the mean count rate.
    """
    share = math.log(2) * 120 / HALF_LIFE
    middle = math.log(share / (1 - math.exp(-share))) / math.log(2) * HALF_LIFE
    return pet(
        SeriesTime="150000", AcquisitionTime="113500", ActualFrameDuration=120000,
        FrameReferenceTime=(300 + middle) * 1000, **elements,
    )  # fmt: skip


CASES = {
    "Siemens, GE: decay to the series' time": (pet(), decayed(3600)),
    "a later bed position": (pet(AcquisitionTime="114500"), decayed(3600)),
    "fractions of seconds": (pet(SeriesTime="113000.50", AcquisitionTime="113000.50"),
                             decayed(3600.5)),
    "decay reference ADMIN": (pet(DecayCorrection="ADMIN"), UNDECAYED),
    "GE, processed later": (
        with_private(pet(SeriesTime="160000"), 0x0009, "GEMS_PETD_01", 0x0D, "DT",
                     "20190823112000.00"),
        decayed(3000),
    ),
    "Siemens, processed later": (siemens_resaved(), decayed(3600)),
    "CPS, processed later: the reference time is 0": (
        pet(SeriesTime="150000", AcquisitionTime="113500", ActualFrameDuration=120000,
            FrameReferenceTime=0.0),
        decayed(3900),
    ),
    "injection with its date": (
        tracer(pet(), RadiopharmaceuticalStartDateTime="20190823103000.00+0200"), decayed(3600)
    ),
    "injection before midnight": (
        tracer(pet(SeriesTime="001500", AcquisitionTime="001500"),
               RadiopharmaceuticalStartTime="234500"),
        decayed(1800),
    ),
    "no dates at all": (pet(SeriesDate="", AcquisitionDate=""), decayed(3600)),
    "Philips: SUV factor, implicit VR": (
        with_private(pet(Units="CNTS"), 0x7053, "Philips PET Private Group", 0x00, "UN",
                     b"0.000551 "),
        0.000551,
    ),
    "Philips: SUV factor": (
        with_private(pet(Units="CNTS"), 0x7053, "Philips PET Private Group", 0x00, "DS",
                     "0.000551"),
        0.000551,
    ),
    "Philips: activity factor": (
        with_private(
            with_private(pet(Units="CNTS"), 0x7053, "Philips PET Private Group", 0x00, "DS", "0"),
            0x7053, "Philips PET Private Group", 0x09, "DS", "1.7",
        ),
        1.7 * decayed(3600),
    ),
    "SUV already": (pet(Units="GML"), 1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_way_to_suv(name):
    dataset, expected = CASES[name]
    assert suv_scale(dataset).factor == pytest.approx(expected, rel=1e-9)


def test_two_bed_positions_without_reference_times_are_refused():
    elements = {"SeriesTime": "150000", "ActualFrameDuration": 120000, "FrameReferenceTime": 0.0}
    scales = [suv_scale(pet(AcquisitionTime=time, **elements)) for time in ("113500", "114000")]
    assert "at the acquisition's time" in same_way(scales[:1])
    with pytest.raises(VolumeError, match=r"times differ.*Frame Reference Time \(0054,1300\) is 0"):
        same_way(scales)


def test_the_moment_of_the_mean_rate_by_numerical_integration():
    times = np.linspace(0, 900, 900_001)
    rate = np.exp(-np.log(2) * times / 1223.0)
    assert np.exp(-np.log(2) * mean_rate_time(900, 1223.0) / 1223.0) == pytest.approx(
        np.trapezoid(rate, times) / 900, rel=1e-9
    )


def enhanced_pet(**elements):
    """A frame of an enhanced PET object: other elements, and a mapping to Bq/ml."""
    dataset = make_slice("PT", np.ones((2, 2)), (0, 0, 0))
    for keyword in ("CorrectedImage", "DecayCorrection", "Units", "SeriesTime"):
        delattr(dataset, keyword)
    dataset.AttenuationCorrected = dataset.DecayCorrected = "YES"
    dataset.DecayCorrectionDateTime = "20190823113000"
    unit, mapping, shared = Dataset(), Dataset(), Dataset()
    unit.CodeValue = "Bq/ml"
    mapping.MeasurementUnitsCodeSequence = [unit]
    mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = 2.5, 0.0
    shared.RealWorldValueMappingSequence = [mapping]
    dataset.SharedFunctionalGroupsSequence = [shared]
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def test_an_enhanced_object_leads_to_suv():
    dataset = enhanced_pet()
    assert frame_rescale(dataset, 0, real_world=True) == (2.5, 0.0)
    assert suv_scale(with_pet_elements(dataset, 0)).factor == pytest.approx(decayed(3600))
    for keyword, text in (("DecayCorrected", "DECY"), ("AttenuationCorrected", "ATTN")):
        with pytest.raises(VolumeError, match=text):
            suv_scale(with_pet_elements(enhanced_pet(**{keyword: "NO"}), 0))


REFUSED = {
    "Patient's Weight (0010,1030)": pet(PatientWeight=None),
    "no body weight": pet(PatientWeight=0.0),
    "Radionuclide Total Dose (0018,1074) is missing": tracer(pet(), RadionuclideTotalDose=None),
    "must be in Bq": tracer(pet(), RadionuclideTotalDose=350.0),
    "Radionuclide Half Life (0018,1075) is missing": tracer(pet(), RadionuclideHalfLife=None),
    "Radiopharmaceutical Start Time (0018,1072) is missing": tracer(
        pet(), RadiopharmaceuticalStartTime=None
    ),
    "contradict": tracer(pet(), RadiopharmaceuticalStartDateTime="20190823113000"),
    "later than the scan": tracer(
        pet(),
        RadiopharmaceuticalStartDateTime="20190824103000",
    ),
    "half lives": tracer(pet(), RadiopharmaceuticalStartDateTime="20180824103000"),
    "Radiopharmaceutical Information Sequence (0054,0016) is missing": pet(
        RadiopharmaceuticalInformationSequence=[]
    ),
    "Series Time (0008,0031)": pet(SeriesTime=""),
    "Frame Reference Time (0054,1300)": pet(SeriesTime="150000", FrameReferenceTime=None),
    "Decay Correction (0054,1102) is NONE": pet(DecayCorrection="NONE"),
    "Decay Correction (0054,1102) is missing": pet(DecayCorrection=""),
    "lacks DECY": pet(CorrectedImage=["ATTN"]),
    "not corrected for attenuation": pet(CorrectedImage=["DECY"]),
    "Corrected Image (0028,0051) is missing": pet(CorrectedImage=None),
    "Units (0054,1001) is missing": pet(Units=""),
    "neither BQML": pet(Units="CPS"),
    "(7053,xx00)": pet(Units="CNTS"),
    "SUV Type (0054,1006) is not BW": pet(Units="GML", SUVType="LBM"),
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_missing_is_refused_with_its_name(text):
    with pytest.raises(VolumeError) as refusal:
        suv_scale(REFUSED[text])
    assert text in str(refusal.value)
    assert NUMBER not in str(refusal.value)
    assert NAME not in str(refusal.value)


def without_creator(dataset, group, element, value, maker):
    """As after de-identification that removes the element which names a private block."""
    dataset.add_new((group, element), "DS", value)
    dataset.Manufacturer = maker
    return dataset


def test_a_vendors_elements_are_found_without_the_name_of_their_block():
    counts = pet(Units="CNTS")
    philips = without_creator(counts, 0x7053, 0x1000, "0.0005", "Philips Medical Systems")
    assert suv_scale(philips).factor == 0.0005
    activity = without_creator(pet(Units="CNTS"), 0x7053, 0x1009, "0.5", "PHILIPS")
    assert suv_scale(activity).factor == pytest.approx(0.5 * decayed(3600), rel=1e-9)


@pytest.mark.parametrize("maker", ["Synthetic", "", "Philipson"])
def test_a_nameless_block_of_another_vendor_is_not_read(maker):
    dataset = without_creator(pet(Units="CNTS"), 0x7053, 0x1000, "0.0005", maker)
    with pytest.raises(VolumeError, match="are missing or 0"):
        suv_scale(dataset)


def test_a_nameless_element_is_not_read_beside_a_named_block():
    dataset = with_private(pet(Units="CNTS"), 0x7053, "ANOTHER BLOCK", 0x05, "DS", "3")
    dataset = without_creator(dataset, 0x7053, 0x1000, "0.0005", "Philips")
    with pytest.raises(VolumeError, match="are missing or 0"):
        suv_scale(dataset)
