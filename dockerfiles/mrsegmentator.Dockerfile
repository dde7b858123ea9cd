FROM umd/torch
COPY parts/packages /opt/umd/model-packages
RUN python3 -m compileall -qq -j 0 --invalidation-mode checked-hash /opt/umd/model-packages || true
# nnU-Net asks for its training folders when it is imported; nothing is read or written there
ENV PYTHONPATH=/opt/umd/sdk:/opt/umd/model-packages:/opt/umd/torch-packages:/opt/umd/packages \
    nnUNet_raw=/nonexistent \
    nnUNet_preprocessed=/nonexistent \
    nnUNet_results=/nonexistent
COPY models/sdk/zoo_transforms/__init__.py \
     models/sdk/zoo_transforms/intensity.py \
     models/sdk/zoo_transforms/label_maps.py \
     models/sdk/zoo_transforms/resampling.py \
     /opt/umd/sdk/zoo_transforms/
COPY models/nnunet/results.py models/nnunet/random_results.py /opt/model/
COPY models/mrsegmentator/*.py /opt/model/
RUN python3 -m zoo_sdk.image_check python=3.11 torch=2.13.0 nnunetv2.inference.predict_from_raw_data /opt/model/adapter.py
COPY parts/weights /opt/ml/model
# random:small or random:full: weights are made up here; published: nothing is done
ARG WEIGHTS=published
RUN python3 -m zoo_sdk.random_weights /opt/model/random_weights.py "$WEIGHTS"
ENTRYPOINT ["python3", "-m", "zoo_sdk.serve", "/opt/model/adapter.py"]

LABEL umd.contract="1" \
      umd.name="mrsegmentator" \
      umd.title="MRSegmentator 1.2" \
      umd.citation="10.1148/ryai.240777" \
      umd.inputs="CT | MR" \
      umd.units="" \
      umd.prompts="" \
      umd.targets="liver,kidney-left,kidney-right,heart,spleen,aorta,lung,colon,bladder,pancreas,esophagus,stomach" \
      umd.rounds="one" \
      umd.session="stdio" \
      umd.options="fast=off|on" \
      umd.gpu="optional" \
      umd.gpu-memory="8GiB" \
      umd.memory="24GiB" \
      umd.timeout="3600" \
      umd.weights="published" \
      umd.weights.sha256="dd26c1b511908a1f2a752b7fe8f5ca9c5603fc3e69fa52f57bf3ccdd52ceb286" \
      umd.weights.license="not stated" \
      umd.trained-on="in-house MR, UK Biobank MR, and TotalSegmentator CT (arXiv:2405.06463)" \
      org.opencontainers.image.title="MRSegmentator 1.2" \
      org.opencontainers.image.source="https://github.com/hhaentze/MRSegmentator" \
      org.opencontainers.image.version="2.0.0" \
      org.opencontainers.image.licenses="Apache-2.0"
