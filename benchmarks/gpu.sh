#!/usr/bin/env bash
# Everything that a GPU must show: benchmarks/gpu.sh OUT [minutes]     measures, and trains with the time that is left
#                                  benchmarks/gpu.sh OUT --rehearse    the same on the processor, with tiny sizes
# Further options are those of `python -m benchmarks.gpu.run`. DATASET names a file of `python -m benchmarks.pack` to train
# on (by default the first *.pack here). Wheels in the folder `wheels` are installed for this run alone.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2; }
if [ "$1" = --rehearse ]; then
	[ $# -ge 2 ] || { echo "error: name a folder for the results: benchmarks/gpu.sh OUT --rehearse" >&2; exit 2; }
	set -- "$2" --rehearse "${@:3}"
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
options=()
if [[ ${1-} =~ ^[0-9]+([.][0-9]+)?$ ]]; then
	options+=(--minutes "$1")
	shift
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-}
if [ -z "$python" ]; then
	[ -x .venv/bin/python ] && python=.venv/bin/python || python=python3
fi
if compgen -G "wheels/*.whl" >/dev/null; then
	site=$(mktemp -d)
	trap 'rm -rf "$site"' EXIT
	if "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$site" wheels/*.whl; then
		export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
	else
		echo "warning: the wheels could not be installed; going on without them" >&2
	fi
fi
if [ -z "${DATASET:-}" ]; then
	DATASET=$(compgen -G "*.pack" | head -n 1 || true)
fi
[ -z "$DATASET" ] || options+=(--dataset "$DATASET")
"$python" -m benchmarks.gpu.run "$out" "${options[@]}" "$@"
