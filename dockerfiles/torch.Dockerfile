# umd/torch: umd/base with torch. CUDA flavour: BASE is the pinned public image, which has torch, and packages holds the
# rest. CPU flavour: BASE is umd/base and packages holds torch's CPU wheel.
ARG BASE=pytorch/pytorch:2.10.0-cuda12.8-cudnn9-runtime@sha256:b85566342b86d13a67712e9315d40cdc2dad7f8d86df1aff3831f80835edbcca
FROM ${BASE}
COPY site /
COPY packages /opt/umd/torch-packages
RUN python3 -m compileall -qq -j 0 --invalidation-mode checked-hash /opt/umd/torch-packages || true
COPY zoo_sdk /opt/umd/sdk/zoo_sdk
ENV PYTHONPATH=/opt/umd/sdk:/opt/umd/torch-packages:/opt/umd/packages \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_BREAK_SYSTEM_PACKAGES=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt
WORKDIR /opt/model
