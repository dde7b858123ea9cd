FROM umd/torch
COPY parts/packages /opt/umd/model-packages
RUN python3 -m compileall -qq -j 0 --invalidation-mode checked-hash /opt/umd/model-packages || true
ENV PYTHONPATH=/opt/umd/sdk:/opt/umd/model-packages:/opt/umd/torch-packages:/opt/umd/packages
COPY models/sdk/zoo_transforms/__init__.py \
     models/sdk/zoo_transforms/intensity.py \
     models/sdk/zoo_transforms/resampling.py \
     models/sdk/zoo_transforms/sliding_window.py \
     /opt/umd/sdk/zoo_transforms/
COPY models/sam-med3d/*.py /opt/model/
RUN python3 -m zoo_sdk.image_check python=3.11 torch=2.13.0 medim /opt/model/adapter.py
COPY parts/weights /opt/ml/model
# random:small or random:full: weights are made up here; published: nothing is done
ARG WEIGHTS=published
RUN python3 -m zoo_sdk.random_weights /opt/model/random_weights.py "$WEIGHTS"
ENTRYPOINT ["python3", "-m", "zoo_sdk.serve", "/opt/model/adapter.py"]

LABEL umd.contract="1" \
      umd.name="seganypet-lesion" \
      umd.title="SegAnyPET-Lesion" \
      umd.citation="arXiv:2603.11627" \
      umd.inputs="PT" \
      umd.units="" \
      umd.prompts="point" \
      umd.targets="lesion" \
      umd.rounds="many" \
      umd.session="stdio" \
      umd.options="large=single|sliding; clicks=one-by-one|together; ct=clamped|as-published" \
      umd.gpu="optional" \
      umd.gpu-memory="6GiB" \
      umd.memory="12GiB" \
      umd.timeout="1200" \
      umd.weights="published" \
      umd.weights.license="not stated" \
      umd.trained-on="PET lesions; upstream's README of 2026-03 does not state the data here seen; may overlap with the data of the UMD paper, by the same group" \
      org.opencontainers.image.title="SegAnyPET-Lesion" \
      org.opencontainers.image.source="https://github.com/YichiZhang98/SegAnyPET" \
      org.opencontainers.image.revision="e53e9b2b6e8508bb4acde0023b43ea5d34258a88" \
      org.opencontainers.image.licenses="Apache-2.0"
