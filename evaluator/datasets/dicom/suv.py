"""From stored PET values to SUV by body weight; what lacks an element is refused with its name.

After the vendor-neutral pseudo-code of the Quantitative Imaging Biomarkers Alliance (QIBA), which
the FDG-PET/CT profile refers to:

    SUV = (stored value x slope + intercept) x weight in g / dose in Bq at the decay reference

- Units BQML: the dose decays from the injection to the scan if Decay Correction is START, and not
  at all if it is ADMIN.
- The scan begins at the series' date and time. If they are later than the acquisition's, the series
  was processed afterwards: GE keeps the scan's time in (0009,xx0D) of GEMS_PETD_01; for others
  (Siemens) it is the acquisition's time less the frame's reference time, plus the time at which the
  frame's mean count rate occurs. A reference time of 0 (CPS) says nothing: the scan began with the
  acquisition, and slices of several bed positions are refused.
- Units CNTS (Philips): (7053,xx00) is the factor from counts to SUV; without it, (7053,xx09) is the
  factor from counts to Bq/ml.
- Units GML: the values are SUV already, by body weight if SUV Type says so or is absent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from evaluator.datasets.dicom.clocks import clock_of, datetime_of, since_midnight
from evaluator.datasets.dicom.private_elements import (
    GE,
    PHILIPS,
    private_number,
    private_text,
)
from evaluator.datasets.dicom.reading import (
    name_of,
    number_of,
    text_of,
    texts_of,
    value_of,
)
from evaluator.errors import VolumeError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: a smaller dose is not in Bq, as DICOM demands, but probably in MBq
LEAST_DOSE_BQ = 1e5
WEIGHTS_KG = (0.1, 500.0)
#: a longer time from injection to scan means that a date or time is wrong
MOST_HALF_LIVES = 15.0
#: factors of slices may differ by this share, as times are rounded
SAME_FACTOR = 1e-3


@dataclass(frozen=True, slots=True)
class SuvScale:
    """From rescaled values to SUV."""

    factor: float
    #: how it was found, without any value of the header
    way: str


def suv_scale(dataset: Any) -> SuvScale:
    """The factor from the rescaled values of a PET image or slice to SUV by body weight.

    Args:
        dataset: a header.

    Raises:
        VolumeError: an element is missing or implausible; the message names it.
    """
    corrections = texts_of(dataset, "CorrectedImage")
    if not corrections:
        raise _missing("CorrectedImage")
    if "ATTN" not in corrections:
        raise VolumeError(f"{name_of('CorrectedImage')} lacks ATTN: not corrected for attenuation")
    decay = text_of(dataset, "DecayCorrection").upper()
    if not decay:
        raise _missing("DecayCorrection")
    if decay not in ("START", "ADMIN") or not {"DECY", "DECAY"} & set(corrections):
        raise VolumeError(
            f"{name_of('DecayCorrection')} is {_known(decay, ('NONE', 'START', 'ADMIN'))} and "
            f"{name_of('CorrectedImage')} {'has' if 'DECY' in corrections else 'lacks'} DECY; an "
            "image that is not corrected for decay has no SUV"
        )
    units = text_of(dataset, "Units").upper()
    if units == "BQML":
        return SuvScale(_per_activity(dataset, decay), f"Bq/ml, {_reference_words(dataset, decay)}")
    if units == "CNTS":
        return _philips(dataset, decay)
    if units == "GML":
        kind = text_of(dataset, "SUVType").upper()
        if kind not in ("", "BW"):
            raise VolumeError(f"{name_of('SUVType')} is not BW; SUV by body weight is needed")
        return SuvScale(1.0, "g/ml, which is SUV already")
    if not units:
        raise _missing("Units")
    raise VolumeError(
        f"{name_of('Units')} is neither BQML, CNTS nor GML, so that there is no way to SUV"
    )


def _philips(dataset: Any, decay: str) -> SuvScale:
    if factor := private_number(dataset, 0x7053, PHILIPS, 0x00):
        return SuvScale(factor, "counts, Philips' SUV factor (7053,xx00)")
    if factor := private_number(dataset, 0x7053, PHILIPS, 0x09):
        per_bq = _per_activity(dataset, decay)
        way = f"counts, Philips' activity factor (7053,xx09), {_reference_words(dataset, decay)}"
        return SuvScale(factor * per_bq, way)
    raise VolumeError(
        f"{name_of('Units')} is CNTS, and Philips' SUV Scale Factor (7053,xx00) and Activity "
        "Concentration Scale Factor (7053,xx09) are missing or 0"
    )


def _reference_words(dataset: Any, decay: str) -> str:
    """The decay reference, and where the scan's beginning was found if not in the usual place."""
    words = f"decay reference {decay}"
    if decay == "START" and _begins_with_acquisition(dataset):
        words += f" at the acquisition's time, as {name_of('FrameReferenceTime')} is 0"
    return words


def _begins_with_acquisition(dataset: Any) -> bool:
    """Whether a series was processed later, and nothing but the acquisition's time is left."""
    if datetime_of(text_of(dataset, "DecayCorrectionDateTime")):
        return False
    if _moment(dataset, "Series") <= _moment(dataset, "Acquisition"):
        return False
    if private_text(dataset, 0x0009, GE, 0x0D):
        return False
    return number_of(dataset, "FrameReferenceTime") == 0


def _per_activity(dataset: Any, decay: str) -> float:
    """SUV of 1 Bq/ml: body weight in g by the dose in Bq at the decay reference."""
    weight = _needed(dataset, "PatientWeight")
    if not WEIGHTS_KG[0] <= weight <= WEIGHTS_KG[1]:
        raise VolumeError(f"{name_of('PatientWeight')} is no body weight in kg")
    tracer = _tracer(dataset)
    dose = _needed(tracer, "RadionuclideTotalDose")
    if dose < LEAST_DOSE_BQ:
        raise VolumeError(
            f"{name_of('RadionuclideTotalDose')} is below {LEAST_DOSE_BQ:g}; it must be in Bq"
        )
    if decay == "START":
        half_life = _needed(tracer, "RadionuclideHalfLife")
        if half_life <= 0:
            raise VolumeError(f"{name_of('RadionuclideHalfLife')} is not positive")
        start = scan_start(dataset, half_life)
        seconds = seconds_since_injection(dataset, tracer, start)
        if seconds > MOST_HALF_LIVES * half_life:
            raise VolumeError(
                f"the scan begins more than {MOST_HALF_LIVES:g} half lives after the injection; "
                f"{name_of('RadiopharmaceuticalStartDateTime')} or the dates of the series are "
                "wrong"
            )
        dose *= 2 ** (-seconds / half_life)
    return weight * 1000 / dose


def _tracer(dataset: Any) -> Any:
    items = value_of(dataset, "RadiopharmaceuticalInformationSequence")
    if not items:
        raise _missing("RadiopharmaceuticalInformationSequence")
    if len(items) > 1:
        raise VolumeError(
            f"{name_of('RadiopharmaceuticalInformationSequence')} has {len(items)} injections"
        )
    return items[0]


def scan_start(dataset: Any, half_life: float) -> datetime:
    """The moment to which the dose must decay, if Decay Correction is START.

    Raises:
        VolumeError: an element is missing; the message names it.
    """
    if corrected := datetime_of(text_of(dataset, "DecayCorrectionDateTime")):
        return corrected
    series = _moment(dataset, "Series")
    acquisition = _moment(dataset, "Acquisition")
    if series <= acquisition:
        return series
    if text := private_text(dataset, 0x0009, GE, 0x0D):
        if moment := datetime_of(text):
            return moment
        raise VolumeError("GE's scan time (0009,xx0D) is not a date and time")
    if _begins_with_acquisition(dataset):
        return acquisition
    reference_ms = number_of(dataset, "FrameReferenceTime")
    duration_ms = number_of(dataset, "ActualFrameDuration")
    if reference_ms is None or reference_ms < 0 or not duration_ms or duration_ms < 0:
        fits = reference_ms is not None and reference_ms >= 0
        lacking = "ActualFrameDuration" if fits else "FrameReferenceTime"
        raise VolumeError(
            f"the series' time is later than the acquisition's, and {name_of(lacking)} is missing "
            "or below 0"
        )
    shift = mean_rate_time(duration_ms / 1000, half_life) - reference_ms / 1000
    return acquisition + timedelta(seconds=shift)


def mean_rate_time(duration: float, half_life: float) -> float:
    """When the count rate of a decaying source equals its mean over a frame, s from its start.

    Args:
        duration: of the frame, s.
        half_life: s.
    """
    decay = math.log(2) / half_life
    share = decay * duration
    return math.log(share / -math.expm1(-share)) / decay


def seconds_since_injection(dataset: Any, tracer: Any, start: datetime) -> float:
    """The time from the injection to a moment, s; an injection before midnight is understood.

    Raises:
        VolumeError: the injection's time is missing, or contradicts itself.
    """
    stated = datetime_of(text_of(tracer, "RadiopharmaceuticalStartDateTime"))
    clock = clock_of(text_of(tracer, "RadiopharmaceuticalStartTime"))
    if stated is None and clock is None:
        raise _missing("RadiopharmaceuticalStartTime")
    if stated is None or not text_of(dataset, "SeriesDate"):
        time_of_day = clock if clock is not None else since_midnight(stated or start)
        seconds = (since_midnight(start) - time_of_day).total_seconds()
        return seconds if seconds >= 0 else seconds + 86400
    if clock is not None and abs((since_midnight(stated) - clock).total_seconds()) > 60:
        raise VolumeError(
            f"{name_of('RadiopharmaceuticalStartTime')} and "
            f"{name_of('RadiopharmaceuticalStartDateTime')} contradict each other"
        )
    seconds = (start - stated).total_seconds()
    if seconds < 0:
        raise VolumeError(f"{name_of('RadiopharmaceuticalStartDateTime')} is later than the scan")
    return seconds


def same_way(scales: Sequence[SuvScale]) -> str:
    """The way of all slices.

    Raises:
        VolumeError: slices lead to SUV in different ways, or their factors differ.
    """
    ways = sorted({scale.way for scale in scales})
    if len(ways) > 1:
        raise VolumeError(f"the slices lead to SUV in different ways: {'; '.join(ways)}")
    factors = [scale.factor for scale in scales]
    if max(factors) > min(factors) * (1 + SAME_FACTOR):
        raise VolumeError(
            "weight, dose or times differ between the slices, so that their factors to SUV differ "
            f"({ways[0]})"
        )
    return ways[0]


def _moment(dataset: Any, event: str) -> datetime:
    """Date and time of the series or of the acquisition; a missing date is the same day."""
    clock = clock_of(text_of(dataset, f"{event}Time"))
    if clock is None:
        raise _missing(f"{event}Time")
    text = text_of(dataset, f"{event}Date") or text_of(dataset, "SeriesDate")
    day = datetime_of(text[:8]) if text else datetime(2000, 1, 1)  # noqa: DTZ001
    if day is None:
        raise VolumeError(f"{name_of(f'{event}Date')} is not a date")
    return day + clock


def _needed(dataset: Any, keyword: str) -> float:
    number = number_of(dataset, keyword)
    if number is None:
        raise _missing(keyword)
    return number


def _missing(keyword: str) -> VolumeError:
    return VolumeError(f"{name_of(keyword)} is missing or empty, so that there is no SUV")


def _known(text: str, words: tuple[str, ...]) -> str:
    """A word of the standard; another text is not quoted."""
    return text if text in words else "not a word of the standard"
