FROM umd/torch
COPY parts/packages /opt/umd/model-packages
RUN python3 -m compileall -qq -j 0 --invalidation-mode checked-hash /opt/umd/model-packages || true
ENV PYTHONPATH=/opt/umd/sdk:/opt/umd/model-packages:/opt/umd/torch-packages:/opt/umd/packages \
    HF_HUB_OFFLINE=1 \
    TRANSFORMERS_OFFLINE=1
COPY parts/upstream /opt/model
COPY models/sdk/zoo_transforms/__init__.py \
     models/sdk/zoo_transforms/intensity.py \
     models/sdk/zoo_transforms/patches.py \
     models/sdk/zoo_transforms/resampling.py \
     models/sdk/zoo_transforms/sliding_window.py \
     /opt/umd/sdk/zoo_transforms/
COPY models/segvol/*.py /opt/model/
RUN python3 -m zoo_sdk.image_check python=3.11 torch=2.13.0 monai.networks.nets transformers /opt/model/adapter.py
COPY parts/weights /opt/ml/model
# random:small or random:full: weights are made up here; published: nothing is done
ARG WEIGHTS=published
RUN python3 -m zoo_sdk.random_weights /opt/model/random_weights.py "$WEIGHTS"
ENTRYPOINT ["python3", "-m", "zoo_sdk.serve", "/opt/model/adapter.py"]

LABEL umd.contract="1" \
      umd.name="segvol" \
      umd.title="SegVol" \
      umd.citation="arXiv:2311.13385" \
      umd.inputs="CT | MR | PT" \
      umd.units="CT=HU" \
      umd.prompts="point,box,text" \
      umd.targets="*" \
      umd.rounds="many" \
      umd.session="stdio" \
      umd.options="orientation=ras|as-stored; reflection=direct|as-published; zoom=out-and-in|out; template=as-published|by-modality" \
      umd.gpu="optional" \
      umd.gpu-memory="6GiB" \
      umd.memory="16GiB" \
      umd.timeout="3600" \
      umd.weights="published" \
      umd.weights.license="not stated" \
      umd.trained-on="90000 unlabelled and 6000 labelled CT scans of 25 data sets (arXiv:2311.13385)" \
      org.opencontainers.image.title="SegVol" \
      org.opencontainers.image.source="https://github.com/BAAI-DCAI/SegVol" \
      org.opencontainers.image.revision="5768c9795794a327a2629ce7f137ab03d5ea8378" \
      org.opencontainers.image.licenses="MIT"
