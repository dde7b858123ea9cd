FROM umd/torch
ENV PYTHONPATH=/opt/umd/sdk:/opt/umd/torch-packages:/opt/umd/packages
COPY models/sdk/zoo_transforms/__init__.py \
     models/sdk/zoo_transforms/intensity.py \
     models/sdk/zoo_transforms/resampling.py \
     /opt/umd/sdk/zoo_transforms/
COPY models/mindgrab/*.py /opt/model/
RUN python3 -m zoo_sdk.image_check python=3.11 torch=2.13.0 scipy.ndimage /opt/model/adapter.py
COPY parts/weights /opt/ml/model
# random:small or random:full: weights are made up here; published: nothing is done
ARG WEIGHTS=published
RUN python3 -m zoo_sdk.random_weights /opt/model/random_weights.py "$WEIGHTS"
ENTRYPOINT ["python3", "-m", "zoo_sdk.serve", "/opt/model/adapter.py"]

LABEL umd.contract="1" \
      umd.name="mindgrab" \
      umd.title="MindGrab" \
      umd.citation="arXiv:2506.11860" \
      umd.inputs="CT | MR | PT" \
      umd.units="CT=HU" \
      umd.prompts="" \
      umd.targets="brain" \
      umd.rounds="one" \
      umd.session="stdio" \
      umd.options="ct=cormack|hounsfield; box=centre|top" \
      umd.gpu="optional" \
      umd.gpu-memory="8GiB" \
      umd.memory="8GiB" \
      umd.timeout="1800" \
      umd.weights="published" \
      umd.weights.sha256="31f1bda17b8d3eee17a54cf3f199899763a6615a049f05ab2a05f18eb98ec23a" \
      umd.weights.license="MIT by its hub card, as niimath records; its repository has no licence file" \
      umd.trained-on="synthetic images alone; evaluated by its authors on 606 adult heads on MR, CT and PET (arXiv:2506.11860)" \
      org.opencontainers.image.title="MindGrab" \
      org.opencontainers.image.source="https://github.com/neuroneural/brainchop-models" \
      org.opencontainers.image.revision="3d81b598b4c3d09e61d8a3664247fc939ccd384c" \
      org.opencontainers.image.licenses="Apache-2.0"
