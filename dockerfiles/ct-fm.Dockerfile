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
COPY models/ct-fm/*.py /opt/model/
RUN python3 -m zoo_sdk.image_check python=3.11 torch=2.13.0 monai.networks.nets safetensors.torch /opt/model/adapter.py
COPY parts/weights /opt/ml/model
# random:small or random:full: weights are made up here; published: nothing is done
ARG WEIGHTS=published
RUN python3 -m zoo_sdk.random_weights /opt/model/random_weights.py "$WEIGHTS"
ENTRYPOINT ["python3", "-m", "zoo_sdk.serve", "/opt/model/adapter.py"]

LABEL umd.contract="1" \
      umd.name="ct-fm" \
      umd.title="CT-FM whole-body segmentation" \
      umd.citation="arXiv:2501.09001" \
      umd.inputs="CT" \
      umd.units="CT=HU" \
      umd.prompts="" \
      umd.targets="spleen,kidney-right,kidney-left,liver,stomach,pancreas,lung,esophagus,colon,bladder,heart,aorta,brain" \
      umd.rounds="one" \
      umd.session="stdio" \
      umd.options="spacing=1.5mm|native; components=all|largest" \
      umd.gpu="optional" \
      umd.gpu-memory="12GiB" \
      umd.memory="16GiB" \
      umd.timeout="3600" \
      umd.weights="published" \
      umd.weights.license="Apache-2.0" \
      umd.trained-on="148,000 CT scans of the Imaging Data Commons without labels, then TotalSegmentator v2 (arXiv:2501.09001)" \
      org.opencontainers.image.title="CT-FM whole-body segmentation" \
      org.opencontainers.image.source="https://github.com/project-lighter/CT-FM" \
      org.opencontainers.image.revision="f58c89a" \
      org.opencontainers.image.licenses="Apache-2.0"
