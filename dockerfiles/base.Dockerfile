# umd/base: Python 3.11 with numpy, scipy and SimpleITK, the SDK, and the site's certificates and pip settings.
# Built by `umd models build`, which puts three folders into the build context; BASE is the pinned public image when a
# registry answers, else one bootstrapped from Debian's packages.
ARG BASE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
FROM ${BASE}
COPY site /
COPY packages /opt/umd/packages
# else every container would compile what it imports, for seconds; files that are no Python 3 are left as they are
RUN python3 -m compileall -qq -j 0 --invalidation-mode checked-hash /opt/umd/packages || true
COPY zoo_sdk /opt/umd/sdk/zoo_sdk
ENV PYTHONPATH=/opt/umd/sdk:/opt/umd/packages \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_BREAK_SYSTEM_PACKAGES=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt
RUN python3 -m zoo_sdk.image_check python=3.11 numpy scipy SimpleITK
WORKDIR /opt/model
