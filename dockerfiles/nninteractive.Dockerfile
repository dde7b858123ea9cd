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
     /opt/umd/sdk/zoo_transforms/
COPY models/nninteractive/*.py /opt/model/
RUN python3 -m zoo_sdk.image_check python=3.11 torch=2.13.0 nnInteractive.inference.inference_session /opt/model/adapter.py
COPY parts/weights /opt/ml/model
# random:small or random:full: weights are made up here; published: nothing is done
ARG WEIGHTS=published
RUN python3 -m zoo_sdk.random_weights /opt/model/random_weights.py "$WEIGHTS"
ENTRYPOINT ["python3", "-m", "zoo_sdk.serve", "/opt/model/adapter.py"]

LABEL umd.contract="1" \
      umd.name="nninteractive" \
      umd.title="nnInteractive 1.0" \
      umd.citation="arXiv:2503.08373" \
      umd.inputs="CT | MR | PT" \
      umd.units="CT=HU" \
      umd.prompts="point,box,scribble,mask" \
      umd.targets="*" \
      umd.rounds="many" \
      umd.session="stdio" \
      umd.options="autozoom=on|off; clicks=one-by-one|together; box=middle-slice|refused; scribble=two-voxels|as-drawn; orientation=ras|stored" \
      umd.gpu="optional" \
      umd.gpu-memory="10GiB" \
      umd.memory="12GiB" \
      umd.timeout="3600" \
      umd.weights="published" \
      umd.weights.license="CC-BY-NC-SA-4.0" \
      umd.trained-on="more than 120 public datasets of CT, MR, PET and microscopy" \
      org.opencontainers.image.title="nnInteractive 1.0" \
      org.opencontainers.image.source="https://github.com/MIC-DKFZ/nnInteractive" \
      org.opencontainers.image.revision="154d9c6bdd887f1140419e26d7e8b173926cddd7" \
      org.opencontainers.image.licenses="Apache-2.0"
