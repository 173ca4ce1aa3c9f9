# shellcheck shell=bash
# CIFAR100-50: 50 labelled and 50 novel classes. Sourced by the scripts beside it.
# shellcheck source-path=SCRIPTDIR source=../common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"

# discover MAIN FLAGS...: the settings that all discovery mains share.
discover() {
  run "$1" \
    --dataset CIFAR100 \
    --gpus 1 \
    --precision 16 \
    --max_epochs 500 \
    --batch_size 512 \
    --num_labeled_classes 50 \
    --num_unlabeled_classes 50 \
    --pretrained checkpoints_iic/pretrain-resnet18-CIFAR100-50_50.cp \
    --num_heads 4 \
    --overcluster_factor 3 \
    --multicrop \
    "${@:2}"
}
