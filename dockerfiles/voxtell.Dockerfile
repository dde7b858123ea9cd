FROM umd/torch
COPY parts/packages /opt/umd/model-packages
RUN python3 -m compileall -qq -j 0 --invalidation-mode checked-hash /opt/umd/model-packages || true
ENV PYTHONPATH=/opt/umd/sdk:/opt/umd/model-packages:/opt/umd/torch-packages:/opt/umd/packages
COPY models/sdk/zoo_transforms/__init__.py \
     models/sdk/zoo_transforms/intensity.py \
     models/sdk/zoo_transforms/patches.py \
     models/sdk/zoo_transforms/resampling.py \
     /opt/umd/sdk/zoo_transforms/
COPY models/voxtell/*.py /opt/model/
RUN python3 -m zoo_sdk.image_check python=3.11 torch=2.13.0 voxtell.model.voxtell_model voxtell.utils.embedding_bank /opt/model/adapter.py
COPY parts/weights /opt/ml/model
# random:small or random:full: weights are made up here; published: nothing is done
ARG WEIGHTS=published
RUN python3 -m zoo_sdk.random_weights /opt/model/random_weights.py "$WEIGHTS"
ENTRYPOINT ["python3", "-m", "zoo_sdk.serve", "/opt/model/adapter.py"]

LABEL umd.contract="1" \
      umd.name="voxtell" \
      umd.title="VoxTell v1.1" \
      umd.citation="arXiv:2511.11450" \
      umd.inputs="CT | MR | PT" \
      umd.units="" \
      umd.prompts="text" \
      umd.targets="*" \
      umd.rounds="one" \
      umd.session="stdio" \
      umd.options="spacing=native|1.5mm" \
      umd.gpu="optional" \
      umd.gpu-memory="12GiB" \
      umd.memory="24GiB" \
      umd.timeout="3600" \
      umd.weights="published" \
      umd.weights.license="CC-BY-NC-SA-4.0" \
      umd.trained-on="158 public sources, 62,000 volumes of CT, MR and PET (arXiv:2511.11450)" \
      org.opencontainers.image.title="VoxTell v1.1" \
      org.opencontainers.image.source="https://github.com/MIC-DKFZ/VoxTell" \
      org.opencontainers.image.version="0.1.2" \
      org.opencontainers.image.licenses="Apache-2.0"
