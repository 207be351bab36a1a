#!/usr/bin/env bash
# Snakemake copies this file and not the lock: the workflow says where that is (rules/plan.smk). Its sha256, so that
# another lock is another environment: 0b29784b91190a8a1552ea0e1b8b9439dc34f6e19f8cde7f758bcd3d93a2cc28
set -euo pipefail
python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$SIDBENCH_LOCK"
