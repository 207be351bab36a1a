# The locked packages and this checkout: docker build -t sidbench .      (docs/deployment.md)
FROM python:3.11-slim
ENV OMP_NUM_THREADS=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/sidbench
# The lock first: its layer stays when the code changes.
COPY requirements.lock ./
RUN python -m pip install --quiet --require-hashes -r requirements.lock
COPY . .
RUN python -m pip install --quiet --no-deps --no-build-isolation -e . \
    && python -m compileall -q sid baselines benchmarks sidbench
# No entry point: Snakemake starts a shell in it. Results and `.snakemake` belong into a mounted folder.
WORKDIR /work
CMD ["sidbench", "--help"]
