FROM umd/base
COPY models/sdk/zoo_transforms/__init__.py \
     models/sdk/zoo_transforms/prompt_geometry.py \
     /opt/umd/sdk/zoo_transforms/
COPY models/random-walker/adapter.py /opt/model/adapter.py
RUN python3 -m zoo_sdk.image_check python=3.11 /opt/model/adapter.py
ENTRYPOINT ["python3", "-m", "zoo_sdk.serve", "/opt/model/adapter.py"]

LABEL umd.contract="1" \
      umd.name="random-walker" \
      umd.title="Random walker" \
      umd.citation="doi:10.1109/TPAMI.2006.233" \
      umd.inputs="CT | MR | PT" \
      umd.units="" \
      umd.prompts="point,box" \
      umd.targets="*" \
      umd.rounds="many" \
      umd.session="stdio" \
      umd.gpu="none" \
      umd.memory="6GiB" \
      umd.timeout="300" \
      umd.weights.license="no weights" \
      umd.trained-on="nothing" \
      org.opencontainers.image.title="Random walker" \
      org.opencontainers.image.licenses="Apache-2.0"
