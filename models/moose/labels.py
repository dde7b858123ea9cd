"""The labels of MOOSE's models for CT that are used here, as the package's README lists them."""

from __future__ import annotations

from types import MappingProxyType

#: model of the package -> the folder that its archive holds, and its labels in order, from 1
MODELS = MappingProxyType(
    {
        "organs": (
            "Dataset123_Organs",
            (
                "adrenal_gland_left", "adrenal_gland_right", "bladder", "brain", "gallbladder",
                "kidney_left", "kidney_right", "liver", "lung_lower_lobe_left",
                "lung_lower_lobe_right", "lung_middle_lobe_right", "lung_upper_lobe_left",
                "lung_upper_lobe_right", "pancreas", "spleen", "stomach", "thyroid_left",
                "thyroid_right", "trachea",
            ),
        ),
        "cardiac": (
            "Dataset888_Cardiac",
            (
                "heart_myocardium", "heart_atrium_left", "heart_atrium_right",
                "heart_ventricle_left", "heart_ventricle_right", "aorta", "iliac_artery_left",
                "iliac_artery_right", "iliac_vena_left", "iliac_vena_right", "inferior_vena_cava",
                "portal_splenic_vein", "pulmonary_artery",
            ),
        ),
        "digestive": (
            "Dataset999_Digestive",
            ("colon", "duodenum", "esophagus", "small_bowel"),
        ),
    }
)  # fmt: skip
