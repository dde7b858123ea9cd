FROM umd/torch
COPY parts/packages /opt/umd/model-packages
RUN python3 -m compileall -qq -j 0 --invalidation-mode checked-hash /opt/umd/model-packages || true
ENV PYTHONPATH=/opt/umd/sdk:/opt/umd/model-packages:/opt/umd/torch-packages:/opt/umd/packages
COPY models/sdk/zoo_transforms/__init__.py \
     models/sdk/zoo_transforms/intensity.py \
     models/sdk/zoo_transforms/resampling.py \
     /opt/umd/sdk/zoo_transforms/
COPY models/deepbet/*.py /opt/model/
RUN python3 -m zoo_sdk.image_check python=3.11 torch=2.13.0 scipy.ndimage /opt/model/adapter.py
COPY parts/weights /opt/ml/model
# random:small or random:full: weights are made up here; published: nothing is done
ARG WEIGHTS=published
RUN python3 -m zoo_sdk.random_weights /opt/model/random_weights.py "$WEIGHTS"
ENTRYPOINT ["python3", "-m", "zoo_sdk.serve", "/opt/model/adapter.py"]

LABEL umd.contract="1" \
      umd.name="deepbet" \
      umd.title="deepbet" \
      umd.citation="10.1016/j.compbiomed.2024.108845" \
      umd.inputs="MR" \
      umd.units="" \
      umd.prompts="" \
      umd.targets="brain" \
      umd.rounds="one" \
      umd.session="stdio" \
      umd.gpu="optional" \
      umd.gpu-memory="4GiB" \
      umd.memory="6GiB" \
      umd.timeout="600" \
      umd.weights="published" \
      umd.weights.license="MIT" \
      umd.trained-on="568 T1-weighted heads of 191 studies (10.1016/j.compbiomed.2024.108845)" \
      org.opencontainers.image.title="deepbet" \
      org.opencontainers.image.source="https://github.com/wwu-mmll/deepbet" \
      org.opencontainers.image.version="1.0.2" \
      org.opencontainers.image.licenses="Apache-2.0"
