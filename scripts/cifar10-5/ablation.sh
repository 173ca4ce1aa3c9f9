#!/usr/bin/env bash
# The ablation study on CIFAR10-5: the five discovery mains, one after another, from what pretrain.sh leaves.
# Further flags are passed on to each: scripts/cifar10-5/ablation.sh --seed 1
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=split.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/split.sh"

ablation cifar10-5 5_5 "$@"
