FROM umd/torch
COPY parts/packages /opt/umd/model-packages
RUN python3 -m compileall -qq -j 0 --invalidation-mode checked-hash /opt/umd/model-packages || true
ENV PYTHONPATH=/opt/umd/sdk:/opt/umd/model-packages:/opt/umd/torch-packages:/opt/umd/packages
COPY models/sdk/zoo_transforms/__init__.py \
     models/sdk/zoo_transforms/intensity.py \
     models/sdk/zoo_transforms/patches.py \
     models/sdk/zoo_transforms/resampling.py \
     models/sdk/zoo_transforms/sliding_window.py \
     /opt/umd/sdk/zoo_transforms/
COPY models/vista3d/class_masks.py models/vista3d/labels.py models/vista3d/network.py \
     models/vista3d/random_weights.py /opt/model/
COPY models/nv-segment-ctmr/*.py /opt/model/
RUN python3 -m zoo_sdk.image_check python=3.11 torch=2.13.0 monai.networks.nets skimage.measure /opt/model/adapter.py
COPY parts/weights /opt/ml/model
# random:small or random:full: weights are made up here; published: nothing is done
ARG WEIGHTS=published
RUN python3 -m zoo_sdk.random_weights /opt/model/random_weights.py "$WEIGHTS"
ENTRYPOINT ["python3", "-m", "zoo_sdk.serve", "/opt/model/adapter.py"]

LABEL umd.contract="1" \
      umd.name="nv-segment-ctmr" \
      umd.title="NV-Segment-CTMR" \
      umd.citation="arXiv:2406.05285" \
      umd.inputs="CT | MR | PT" \
      umd.units="" \
      umd.prompts="text" \
      umd.targets="*" \
      umd.rounds="one" \
      umd.session="stdio" \
      umd.options="overlaps=kept|argmax|everything" \
      umd.gpu="optional" \
      umd.gpu-memory="24GiB" \
      umd.memory="24GiB" \
      umd.timeout="3600" \
      umd.weights="published" \
      umd.weights.license="non-commercial, as others record; the licence file of its repository is empty" \
      umd.trained-on="VISTA3D's CT and further ones, more than 30000 CT and MR in all; TotalSegmentator CT and MR, AMOS22, FLARE22, BTCV, AbdomenCT-1K and AutoPET's CT among them (configs/label_dict.json); no PET" \
      org.opencontainers.image.title="NV-Segment-CTMR" \
      org.opencontainers.image.source="https://github.com/NVIDIA-Medtech/NV-Segment-CTMR" \
      org.opencontainers.image.revision="c46f9946cc869ba697ec61358ec19daa033aa93a" \
      org.opencontainers.image.licenses="Apache-2.0"
