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
     models/sdk/zoo_transforms/splines.py \
     /opt/umd/sdk/zoo_transforms/
COPY models/nnunet/results.py models/nnunet/random_results.py /opt/model/
COPY models/moose/*.py /opt/model/
RUN python3 -m zoo_sdk.image_check python=3.11 torch=2.13.0 nnunetv2.inference.predict_from_raw_data /opt/model/adapter.py
COPY parts/weights /opt/ml/model
# random:small or random:full: weights are made up here; published: nothing is done
ARG WEIGHTS=published
RUN python3 -m zoo_sdk.random_weights /opt/model/random_weights.py "$WEIGHTS"
ENTRYPOINT ["python3", "-m", "zoo_sdk.serve", "/opt/model/adapter.py"]

LABEL umd.contract="1" \
      umd.name="moose" \
      umd.title="MOOSE 3.2" \
      umd.citation="10.2967/jnumed.122.264063" \
      umd.inputs="CT" \
      umd.units="CT=HU" \
      umd.prompts="" \
      umd.targets="liver,kidney-left,kidney-right,brain,heart,spleen,aorta,lung,colon,bladder,pancreas,esophagus,stomach" \
      umd.rounds="one" \
      umd.session="stdio" \
      umd.gpu="optional" \
      umd.gpu-memory="8GiB" \
      umd.memory="24GiB" \
      umd.timeout="3600" \
      umd.weights="published" \
      umd.weights.license="CC-BY-4.0" \
      umd.trained-on="CT of FDG PET/CT, ENHANCE.PET (1683 studies are public; how many each archive was trained on its dataset.json says)" \
      org.opencontainers.image.title="MOOSE 3.2" \
      org.opencontainers.image.source="https://github.com/ENHANCE-PET/MOOSE" \
      org.opencontainers.image.version="3.2.2" \
      org.opencontainers.image.licenses="Apache-2.0"
