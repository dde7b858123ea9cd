FROM umd/base
COPY models/sdk/zoo_transforms/__init__.py \
     models/sdk/zoo_transforms/prompt_geometry.py \
     /opt/umd/sdk/zoo_transforms/
COPY models/threshold/adapter.py /opt/model/adapter.py
RUN python3 -m zoo_sdk.image_check python=3.11 /opt/model/adapter.py
ENTRYPOINT ["python3", "-m", "zoo_sdk.serve", "/opt/model/adapter.py"]

LABEL umd.contract="1" \
      umd.name="threshold" \
      umd.title="Clinical thresholds" \
      umd.citation="doi:10.1007/s00259-014-2961-x" \
      umd.inputs="CT | MR | PT" \
      umd.units="CT=HU,PT=SUVbw,MR=a.u." \
      umd.prompts="point,box" \
      umd.targets="*" \
      umd.rounds="many" \
      umd.session="stdio" \
      umd.gpu="none" \
      umd.memory="6GiB" \
      umd.timeout="300" \
      umd.weights.license="no weights" \
      umd.trained-on="nothing" \
      org.opencontainers.image.title="Clinical thresholds" \
      org.opencontainers.image.licenses="Apache-2.0"
