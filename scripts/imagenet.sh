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
