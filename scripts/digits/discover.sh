#!/usr/bin/env bash
# IIC on the digits, from the checkpoint that pretrain.sh leaves.
# Further flags are passed on: scripts/digits/discover.sh --seed 1
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=split.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/split.sh"

discover main_discover_inter_intra.py --comment 5_5_inter_intra "$@"
