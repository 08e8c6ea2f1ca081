#!/bin/sh
# The first of the Pythons named (or of the usual names) that can make the environment: prints its
# command; where none can, prints "!" and one line on what to install.

probe='
import sys
version = "%d.%d" % sys.version_info[:2]
try:
    import ensurepip, venv
    packaged = True
except ImportError:
    packaged = False
sys.stdout.write(version + (" old" if sys.version_info < (3, 11) else "" if packaged else " bare"))
'
[ $# -gt 0 ] || set -- python3 python3.14 python3.13 python3.12 python3.11 python

trouble="no Python found (tried: $*); install Python 3.11 or newer, or name one: make PYTHON=..."
rank=0
for python in "$@"; do
    found=$("$python" -c "$probe" 2>/dev/null) || continue
    version=${found%% *}
    case $found in
    *bare)
        trouble="$python ($version) has no ensurepip: install the package python$version-venv"
        trouble="$trouble (apt install python$version-venv), or name another Python: make PYTHON=..."
        rank=2
        ;;
    *old)
        [ $rank -gt 0 ] && continue
        trouble="$python is Python $version; striate needs 3.11 or newer: install it, or name it: make PYTHON=..."
        rank=1
        ;;
    *)
        echo "$python"
        exit 0
        ;;
    esac
done
echo "! $trouble"
