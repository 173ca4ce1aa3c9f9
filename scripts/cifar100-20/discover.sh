#!/usr/bin/env bash
# IIC on CIFAR100-20, from the checkpoint that pretrain.sh leaves. Published: 92.4 on the novel training images.
# The shared settings are in split.sh. Further flags are passed on: scripts/cifar100-20/discover.sh --seed 1
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=split.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/split.sh"

discover main_discover_inter_intra.py \
  --factor_inter 0.02 \
  --factor_intra 0.01 \
  --comment 80_20_inter_intra \
  "$@"
