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
     models/sdk/zoo_transforms/resampling.py \
     models/sdk/zoo_transforms/splines.py \
     /opt/umd/sdk/zoo_transforms/
COPY models/nnunet/results.py models/nnunet/random_results.py /opt/model/
COPY models/vibesegmentator/*.py /opt/model/
RUN python3 -m zoo_sdk.image_check python=3.11 torch=2.13.0 nnunetv2.inference.predict_from_raw_data /opt/model/adapter.py
COPY parts/weights /opt/ml/model
# random:small or random:full: weights are made up here; published: nothing is done
ARG WEIGHTS=published
RUN python3 -m zoo_sdk.random_weights /opt/model/random_weights.py "$WEIGHTS"
ENTRYPOINT ["python3", "-m", "zoo_sdk.serve", "/opt/model/adapter.py"]

LABEL umd.contract="1" \
      umd.name="vibesegmentator" \
      umd.title="VIBESegmentator (model 100)" \
      umd.citation="10.1007/s00330-025-12035-9" \
      umd.inputs="MR | CT" \
      umd.units="CT=HU" \
      umd.prompts="" \
      umd.targets="liver,kidney-left,kidney-right,heart,spleen,aorta,lung,bladder,pancreas,esophagus,stomach" \
      umd.rounds="one" \
      umd.session="stdio" \
      umd.gpu="optional" \
      umd.gpu-memory="12GiB" \
      umd.memory="32GiB" \
      umd.timeout="3600" \
      umd.weights="published" \
      umd.weights.license="not stated" \
      umd.trained-on="2897 MR and CT series of 626 subjects: NAKO, UK Biobank, in-house (doi 10.1007/s00330-025-12035-9)" \
      org.opencontainers.image.title="VIBESegmentator" \
      org.opencontainers.image.source="https://github.com/robert-graf/VIBESegmentator" \
      org.opencontainers.image.version="1.3.0" \
      org.opencontainers.image.licenses="Apache-2.0"
