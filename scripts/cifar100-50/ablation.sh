#!/usr/bin/env bash
# The ablation study on CIFAR100-50: the five discovery mains, one after another, from what pretrain.sh leaves.
# Further flags are passed on to each: scripts/cifar100-50/ablation.sh --seed 1
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=split.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/split.sh"

ablation cifar100-50 50_50 "$@"
