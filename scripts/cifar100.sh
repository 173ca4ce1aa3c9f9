# shellcheck shell=bash
# What the CIFAR-100 splits share. Sourced by their baselines.sh.
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

# baselines_cifar100 L U FLAGS...: all methods of baselines/ that train, one after another.
baselines_cifar100() {
  local name="$1_$2"
  # shellcheck disable=SC2034 # read by the function baseline
  SPLIT=(--dataset CIFAR100 --gpus 1 --precision 16 --num_labeled_classes "$1" --num_unlabeled_classes "$2"
    --pretrained "checkpoints_iic/pretrain-resnet18-CIFAR100-$name.cp")
  shift 2
  local pairs=(--rampup_length 150 --rampup_coefficient 50)
  baseline "$name" kcl "$@"
  baseline "$name" mcl "$@"
  baseline "$name" dtc --warmup_targets 30 --max_epochs 130 --update_interval 10 "$@"
  baseline "$name" rs "${pairs[@]}" "$@"
  baseline "$name" rs_plus --max_epochs 400 --batch_size 256 --rampup_length 300 --rampup_coefficient 25 "$@"
  baseline "$name" openmix "${pairs[@]}" "$@"
  baseline "$name" ncl "${pairs[@]}" --hard_negatives --num_far 400 "$@"
  baseline "$name" joint "${pairs[@]}" "$@"
  baseline "$name" dualrank "${pairs[@]}" "$@"
  baseline "$name" uno_v1 "$@"
  baseline "$name" comex "$@"
  baseline "$name" rkd --batch_size 512 --multicrop "$@"
}
