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
COPY models/vista3d/*.py /opt/model/
RUN python3 -m zoo_sdk.image_check python=3.11 torch=2.13.0 monai.networks.nets skimage.measure /opt/model/adapter.py
COPY parts/weights /opt/ml/model
# random:small or random:full: weights are made up here; published: nothing is done
ARG WEIGHTS=published
RUN python3 -m zoo_sdk.random_weights /opt/model/random_weights.py "$WEIGHTS"
ENTRYPOINT ["python3", "-m", "zoo_sdk.serve", "/opt/model/adapter.py"]

LABEL umd.contract="1" \
      umd.name="vista3d" \
      umd.title="VISTA3D (NV-Segment-CT)" \
      umd.citation="arXiv:2406.05285" \
      umd.inputs="CT | MR | PT" \
      umd.units="CT=HU" \
      umd.prompts="point,text" \
      umd.targets="*" \
      umd.rounds="many" \
      umd.session="stdio" \
      umd.options="intensity=auto|as-published; clicks=alone|with-class|unused; large=window|sliding; overlaps=kept|argmax|everything" \
      umd.gpu="optional" \
      umd.gpu-memory="16GiB" \
      umd.memory="24GiB" \
      umd.timeout="3600" \
      umd.weights="published" \
      umd.weights.license="NVIDIA-Open-Model-License (upstream contradicts itself, see models/vista3d)" \
      umd.trained-on="11454 CT scans of 20 data sets (arXiv:2406.05285)" \
      org.opencontainers.image.title="VISTA3D (NV-Segment-CT)" \
      org.opencontainers.image.source="https://github.com/NVIDIA-Medtech/NV-Segment-CTMR" \
      org.opencontainers.image.revision="c46f9946cc869ba697ec61358ec19daa033aa93a" \
      org.opencontainers.image.licenses="Apache-2.0"
