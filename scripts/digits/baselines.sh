#!/usr/bin/env bash
# The other methods of the published table on the digits, one after another, from what pretrain.sh leaves.
# Further flags are passed on to each: scripts/digits/baselines.sh --seed 1
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"

# shellcheck disable=SC2034 # read by the function baseline
SPLIT=(--dataset digits --pretrained checkpoints_iic/pretrain-resnet18-digits-5_5.cp)
for method in kcl mcl dtc rs rs_plus openmix ncl joint dualrank uno_v1 comex rkd; do
  baseline 5_5 "$method" "$@"
done
