FROM umd/torch
COPY parts/packages /opt/umd/model-packages
RUN python3 -m compileall -qq -j 0 --invalidation-mode checked-hash /opt/umd/model-packages || true
ENV PYTHONPATH=/opt/umd/sdk:/opt/umd/model-packages:/opt/umd/torch-packages:/opt/umd/packages \
    SAT_VARIANT=pro \
    HF_HUB_OFFLINE=1 \
    TOKENIZERS_PARALLELISM=false
COPY parts/upstream /opt/model
COPY models/sdk/zoo_transforms/__init__.py \
     models/sdk/zoo_transforms/intensity.py \
     models/sdk/zoo_transforms/patches.py \
     models/sdk/zoo_transforms/resampling.py \
     /opt/umd/sdk/zoo_transforms/
COPY models/sat-nano/*.py /opt/model/
RUN python3 -m zoo_sdk.image_check python=3.11 torch=2.13.0 transformers einops positional_encodings.torch_encodings /opt/model/adapter.py
COPY parts/weights /opt/ml/model
# random:small or random:full: weights are made up here; published: nothing is done
ARG WEIGHTS=published
RUN python3 -m zoo_sdk.random_weights /opt/model/random_weights.py "$WEIGHTS"
ENTRYPOINT ["python3", "-m", "zoo_sdk.serve", "/opt/model/adapter.py"]

LABEL umd.contract="1" \
      umd.name="sat-pro" \
      umd.title="SAT-Pro" \
      umd.citation="10.1038/s41746-025-01964-w" \
      umd.inputs="CT | MR | PT" \
      umd.units="CT=HU" \
      umd.prompts="text" \
      umd.targets="*" \
      umd.rounds="one" \
      umd.session="stdio" \
      umd.options="words=published|asked" \
      umd.gpu="optional" \
      umd.gpu-memory="34GiB" \
      umd.memory="32GiB" \
      umd.timeout="3600" \
      umd.weights="published" \
      umd.weights.license="not stated" \
      umd.trained-on="SAT-DS, 72 public datasets (github.com/zhaoziheng/SAT-DS): organs on CT and MR; on PET only tumours (autoPET) and tumours and nodes of the head and neck (HECKTOR 2022)" \
      org.opencontainers.image.title="SAT-Pro" \
      org.opencontainers.image.source="https://github.com/zhaoziheng/SAT" \
      org.opencontainers.image.revision="5676be5a62f5cd517264b948c6198e38ddfeb0e2" \
      org.opencontainers.image.licenses="Apache-2.0"
