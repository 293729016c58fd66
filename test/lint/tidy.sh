#!/bin/sh
# clang-tidy over one file: tidy.sh CLANG-TIDY FILE COMPILER-FLAGS...
# It says on every run how many warnings it held back; we want to hear from it only about this file.

tidy=$1
file=$2
shift 2

out=$("$tidy" --quiet "$file" -- "$@" 2>&1)
code=$?
if [ $code != 0 ]; then printf '%s\n' "$out" | grep -v '^[0-9]* warnings\? .*generated'; fi
exit $code
