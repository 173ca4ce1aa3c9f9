#!/usr/bin/env bash
# The other methods of the published table on CIFAR100-20, one after another, from what pretrain.sh leaves.
# Further flags are passed on to each: scripts/cifar100-20/baselines.sh --seed 1
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../cifar100.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../cifar100.sh"

baselines_cifar100 80 20 "$@"
