# shellcheck shell=bash
# What the three ImageNet splits share. Sourced by their split.sh.
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

# discover_imagenet SPLIT MAIN FLAGS...: the settings of discovery with the novel classes A, B or C.
discover_imagenet() {
  run "$2" \
    --dataset ImageNet \
    --gpus 2 \
    --precision 16 \
    --max_epochs 60 \
    --batch_size 256 \
    --num_labeled_classes 882 \
    --num_unlabeled_classes 30 \
    --pretrained checkpoints_iic/pretrain-resnet18-ImageNet-882_30.cp \
    --num_heads 2 \
    --overcluster_factor 4 \
    --multicrop \
    --base_lr 0.2 \
    --warmup_epochs 5 \
    --imagenet_split "$1" \
    --distributed_backend ddp \
    --sync_batchnorm \
    "${@:3}"
}

# baselines_imagenet SPLIT FLAGS...: all methods of baselines/ that train, one after another, with the novel classes A,
# B or C.
baselines_imagenet() {
  local name="882_30-$1"
  # shellcheck disable=SC2034 # read by the function baseline
  SPLIT=(--dataset ImageNet --gpus 2 --precision 16 --num_labeled_classes 882 --num_unlabeled_classes 30
    --pretrained checkpoints_iic/pretrain-resnet18-ImageNet-882_30.cp --imagenet_split "$1" --distributed_backend ddp
    --sync_batchnorm --num_workers 8)
  shift
  local pairs=(--max_epochs 90 --batch_size 256 --rampup_length 50 --rampup_coefficient 10)
  baseline "$name" kcl "${pairs[@]}" --rampup_coefficient 0 "$@"
  baseline "$name" mcl "${pairs[@]}" --rampup_coefficient 0 "$@"
  baseline "$name" dtc --dtc TEP --max_epochs 60 "$@"
  baseline "$name" rs "${pairs[@]}" "$@"
  baseline "$name" rs_plus "${pairs[@]}" "$@"
  baseline "$name" openmix "${pairs[@]}" "$@"
  baseline "$name" ncl "${pairs[@]}" --m_size 3000 "$@"
  baseline "$name" joint "${pairs[@]}" "$@"
  baseline "$name" dualrank "${pairs[@]}" "$@"
  baseline "$name" uno_v1 --max_epochs 60 --base_lr 0.02 --warmup_epochs 5 --num_heads 3 "$@"
  baseline "$name" comex --no-batch_head --max_epochs 60 --warmup_epochs 5 "$@"
  baseline "$name" rkd --max_epochs 60 --warmup_epochs 5 --num_heads 2 --multicrop "$@"
}
