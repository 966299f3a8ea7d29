#!/usr/bin/env bash
# warm -> sweep -> report, each a job that starts only if the one before ended well.
#
#   slurm/pipeline.sh model=llama8b,qwen3_8b 'layer=range(10,30)' launcher=slurm
#
# warm    one job per model, at one layer: writes stories' means of all layers and the unsteered preferences to the store, once
# sweep   the layers, which only read them
# report  one table over the sweep's directory, printed below
# Arguments are those of `python -m emoexp --multirun`, with a launcher=slurm... among them.
# EMOEXP_DRIVER: options of sbatch for these three, where a driver belongs elsewhere than the GPU jobs: --partition=cpu --time=1-0
set -eo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=slurm/env.sh
source "$here/env.sh"
case " $* " in
  *" launcher=slurm"* | *" launcher=site_"*) ;;
  *)
    echo "pipeline.sh: no launcher=slurm among the arguments: the jobs would run on the driver's own core" >&2
    exit 2
    ;;
esac

common=() # what the warm-up shares with the sweep: all but the experiment with its settings, and the layers
for argument in "$@"; do
  case $argument in
    experiment=* | experiment.* | layer=*) ;;
    *) common+=("$argument") ;;
  esac
done

sweep=${EMOEXP_SWEEP:-multirun/$(date +%Y-%m-%d)/$(date +%H-%M-%S)}
mkdir -p "$sweep"
after() { echo "--dependency=afterok:$1 --kill-on-invalid-dep=yes"; }
read -ra options <<<"$EMOEXP_DRIVER"
driver=(sbatch --parsable --output="$sweep/%x.log" "${options[@]}")

warm=$(EMOEXP_SWEEP=$sweep/warm "${driver[@]}" --job-name=emoexp-warm "$here/sweep.sbatch" experiment=correlation "${common[@]}")
# shellcheck disable=SC2046  # two words are meant
main=$(EMOEXP_SWEEP=$sweep/sweep "${driver[@]}" --job-name=emoexp-sweep $(after "${warm%;*}") "$here/sweep.sbatch" "$@")
# shellcheck disable=SC2046
table=$(sbatch --parsable --output="$sweep/report.txt" --job-name=emoexp-report --mem=4G --time=30 "${options[@]}" \
  $(after "${main%;*}") --wrap "python -m emoexp.report '$sweep/sweep'") # in sh, so without env.sh, whose work this job inherits
echo "warm $warm, sweep $main, report $table: $sweep"
