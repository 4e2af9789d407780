# The parts of a test run, each with its own log, added up at the end. Sourced by ./test, and by the test of itself
# (xtask/tests/parts.rs).
#
# Before a part starts there is NAME.kind (how to read its report); after it ended there is NAME.code (its exit code)
# and NAME.report. `cargo xtask sum` reads them: a NAME.kind without a NAME.code is a part that did not run.

# begin_parts FOLDER : forgets the parts of the run before.
begin_parts() {
    parts=$1
    rm -rf "$parts"
    mkdir -p "$parts"
}

# plan NAME KIND : this part is to run.
plan() { echo "$2" >"$parts/$1.kind"; }

# part NAME COMMAND... : runs it in a shell of its own; what it writes is its report.
part() { part_with_report "" "$@"; }

# part_beside NAME COMMAND... : runs it while others go on. Call `wait` before the end: what has not ended by then did not run.
part_beside() { part "$@" & }

# part_with_report FILE NAME COMMAND... : the same, and FILE, which the command writes, is its report.
part_with_report() {
    local report=$1 name=$2 code=0 began=$SECONDS
    shift 2
    if [ -n "$report" ]; then rm -f "$report"; fi
    ("$@") >"$parts/$name.log" 2>&1 || code=$?
    cp -f "${report:-$parts/$name.log}" "$parts/$name.report" 2>/dev/null || true
    echo $code >"$parts/$name.code"
    if [ $code = 0 ]; then
        printf 'ok    %-16s %4d s\n' "$name" $((SECONDS - began))
    else
        printf 'FAIL  %-16s %4d s   %s\n' "$name" $((SECONDS - began)) "$parts/$name.log"
        tail -n 60 "$parts/$name.log" | sed 's/^/      | /'
    fi
}

# say WHAT COMMAND... : a step that is no test; if it fails, the parts that need it will say so.
say() {
    local what=$1 began=$SECONDS
    shift
    ("$@") >"$parts/step.log" 2>&1 || true
    printf '      %-16s %4d s\n' "$what" $((SECONDS - began))
}

# Prints the sum and leaves with 0 only if nothing failed. Without the program that adds, that is a failure too.
end_parts() {
    local code=0
    trap - EXIT
    jobs -p | xargs -r kill 2>/dev/null || true
    if [ -x "${XTASK:-${target:-target}/debug/xtask}" ]; then
        "${XTASK:-${target:-target}/debug/xtask}" sum "$parts" || code=1
    else
        echo "0 passed, 1 failed, 0 skipped"
        code=1
    fi
    exit $code
}
