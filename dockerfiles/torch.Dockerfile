# umd/torch: umd/base with torch, the CUDA build or the CPU build of one version. Both flavours have the Python of umd/base,
# because the packages of all models are for that Python (docs/decisions/0145-one-python-one-torch.md).
ARG BASE=umd/base
FROM ${BASE}
COPY packages /opt/umd/torch-packages
RUN python3 -m compileall -qq -j 0 --invalidation-mode checked-hash /opt/umd/torch-packages || true
# the container toolkit gives a container no more of the driver than this
ENV PYTHONPATH=/opt/umd/sdk:/opt/umd/torch-packages:/opt/umd/packages \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN python3 -m zoo_sdk.image_check python=3.11 torch=2.13.0 numpy scipy SimpleITK
WORKDIR /opt/model
