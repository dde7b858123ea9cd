"""Measures 3D medical segmentation models on paired PET/CT and PET/MRI; the command is ``umd``."""
