#!/usr/bin/env bash
# Supervised pretraining on the digits 0 to 4. Leaves checkpoints_iic/pretrain-resnet18-digits-5_5.cp.
# Further flags are passed on: scripts/digits/pretrain.sh --seed 1
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"

run main_pretrain.py --dataset digits --comment 5_5 "$@"
