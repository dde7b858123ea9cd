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
      umd.name="sam-med3d" \
      umd.title="SAM-Med3D-turbo" \
      umd.citation="arXiv:2310.15161" \
      umd.inputs="CT | MR | PT" \
      umd.units="CT=HU" \
      umd.prompts="point" \
      umd.targets="*" \
      umd.rounds="many" \
      umd.session="stdio" \
      umd.options="large=single|sliding; clicks=one-by-one|together; ct=clamped|as-published" \
      umd.gpu="optional" \
      umd.gpu-memory="6GiB" \
      umd.memory="12GiB" \
      umd.timeout="1200" \
      umd.weights="published" \
      umd.weights.sha256="899a46d04d3b70f723282ceb489149373558bf0aaba389a346f5ab57da5cdd3c" \
      umd.weights.license="Apache-2.0" \
      umd.trained-on="SA-Med3D-140K and 44 public datasets (github.com/uni-medical/SAM-Med3D/issues/2)" \
      org.opencontainers.image.title="SAM-Med3D-turbo" \
      org.opencontainers.image.source="https://github.com/uni-medical/SAM-Med3D" \
      org.opencontainers.image.revision="f3de1fa10da98e46f49f176773d2b1e306ba131f" \
      org.opencontainers.image.licenses="Apache-2.0"
