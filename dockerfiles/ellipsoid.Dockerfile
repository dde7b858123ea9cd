FROM umd/base
COPY models/ellipsoid/adapter.py /opt/model/adapter.py
RUN python3 -m zoo_sdk.image_check python=3.11 /opt/model/adapter.py
ENTRYPOINT ["python3", "-m", "zoo_sdk.serve", "/opt/model/adapter.py"]

LABEL umd.contract="1" \
      umd.name="ellipsoid" \
      umd.title="Inscribed ellipsoid" \
      umd.citation="this project" \
      umd.inputs="CT | MR | PT" \
      umd.units="" \
      umd.prompts="box" \
      umd.box="mm" \
      umd.targets="*" \
      umd.rounds="one" \
      umd.session="stdio" \
      umd.gpu="none" \
      umd.memory="6GiB" \
      umd.timeout="300" \
      umd.uses-image="no" \
      umd.weights.license="no weights" \
      umd.trained-on="nothing" \
      org.opencontainers.image.title="Inscribed ellipsoid" \
      org.opencontainers.image.licenses="Apache-2.0"
