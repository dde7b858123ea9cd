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
COPY models/nnunet/*.py /opt/model/
RUN python3 -m zoo_sdk.image_check python=3.11 torch=2.13.0 nnunetv2.inference.predict_from_raw_data /opt/model/adapter.py
# random:small or random:full: weights are made up here; mounted: nothing is done
ARG WEIGHTS=mounted
RUN python3 -m zoo_sdk.random_weights /opt/model/random_weights.py "$WEIGHTS"
ENTRYPOINT ["python3", "-m", "zoo_sdk.serve", "/opt/model/adapter.py"]

LABEL umd.contract="1" \
      umd.name="nnunet" \
      umd.title="nnU-Net v2" \
      umd.citation="10.1038/s41592-020-01008-z" \
      umd.inputs="CT | MR | PT" \
      umd.units="" \
      umd.prompts="" \
      umd.targets="*" \
      umd.rounds="one" \
      umd.session="stdio" \
      umd.options="mirroring=on|off; folds=all|first" \
      umd.gpu="optional" \
      umd.gpu-memory="8GiB" \
      umd.memory="24GiB" \
      umd.timeout="3600" \
      umd.weights="mounted" \
      umd.weights.license="the user's own" \
      umd.trained-on="told by the results folder that is mounted" \
      org.opencontainers.image.title="nnU-Net v2" \
      org.opencontainers.image.source="https://github.com/MIC-DKFZ/nnUNet" \
      org.opencontainers.image.version="2.8.0" \
      org.opencontainers.image.licenses="Apache-2.0"
