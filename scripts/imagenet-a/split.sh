# shellcheck shell=bash
# ImageNet-A: 882 labelled classes and the 30 novel ones of split A. Sourced by the scripts beside it.
# shellcheck source-path=SCRIPTDIR source=../imagenet.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../imagenet.sh"

# discover MAIN FLAGS...: the settings that all discovery mains share.
discover() {
  discover_imagenet A "$@"
}
