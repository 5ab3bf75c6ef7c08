#!/usr/bin/env bash
# demo-svg.sh records a run of "robustmq-connect demo" as an animated SVG:
#
#   resources/demo-svg.sh [FILE]     (default resources/docs/demo.svg)
#
# Every line is what the program printed. Of the time between two lines, less than 0.1 s
# is shown as that and more than 2 s as that, so that a reader can follow.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
(($# <= 1)) || { echo "usage: ${0##*/} [FILE]" >&2; exit 2; }
out=${1-resources/docs/demo.svg}
arguments=(demo --duration 16s --mqtt-port 1883 --kafka-port 9092)

make -s build
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
bin/robustmq-connect "${arguments[@]}" | while IFS= read -r line; do
  printf '%s\t%s\n' "$EPOCHREALTIME" "$line"
done >"$lines"

awk -v command="robustmq-connect ${arguments[*]}" '
function escaped(text) {
  gsub(/&/, "\\&amp;", text); gsub(/</, "\\&lt;", text); gsub(/>/, "\\&gt;", text)
  return text
}
function between(least, x, most) { return x < least ? least : x > most ? most : x }
# percent is how much of the loop is over at a time.
function percent(t) { return sprintf("%.2f%%", 100 * t / total) }
BEGIN {
  rows = 28; height = 18; top = 44; left = 16; width = 864
  text[0] = "$ " command; at[0] = 0; n = 1; now = 1
}
{
  i = index($0, "\t")
  moment = substr($0, 1, i - 1)
  if (before) now += between(0.1, moment - before, 2)
  before = moment
  text[n] = substr($0, i + 1); at[n] = now; n++
}
END {
  total = now + 6 # the totals stay for a while
  printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\">\n", width, top + rows * height + 14, width, top + rows * height + 14
  print "<title>A run of robustmq-connect demo: sensors publish by MQTT, their records arrive in Kafka, and the totals add up</title>"
  print "<!-- Made by resources/demo-svg.sh from a real run. -->"
  print "<style>"
  print "text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, \"DejaVu Sans Mono\", monospace; fill: #c9d1d9; white-space: pre }"
  print ".command { fill: #7ee787 } .record { fill: #79c0ff } .stats { fill: #e3b341 } .verdict { fill: #7ee787; font-weight: bold }"
  printf "g.screen { animation: scroll %.2fs step-end infinite; transform: translateY(%dpx) }\n", total, -(n - rows) * height
  for (i = 0; i < n; i++) if (text[i] != "") {
    printf "#l%d { animation: l%d %.2fs step-end infinite } @keyframes l%d { 0%% { opacity: 0 } %s { opacity: 1 } }\n", i, i, total, i, percent(at[i])
  }
  printf "@keyframes scroll { 0%% { transform: translateY(0) }"
  for (i = rows; i < n; i++) printf " %s { transform: translateY(%dpx) }", percent(at[i]), -(i + 1 - rows) * height
  print " }"
  print "@media (prefers-reduced-motion: reduce) { g.screen, text { animation: none !important } }"
  print "</style>"
  printf "<rect width=\"100%%\" height=\"100%%\" rx=\"8\" fill=\"#0d1117\"/>\n"
  print "<circle cx=\"20\" cy=\"18\" r=\"6\" fill=\"#ff5f56\"/><circle cx=\"40\" cy=\"18\" r=\"6\" fill=\"#ffbd2e\"/><circle cx=\"60\" cy=\"18\" r=\"6\" fill=\"#27c93f\"/>"
  printf "<svg x=\"0\" y=\"%d\" width=\"%d\" height=\"%d\"><g class=\"screen\" transform=\"translate(0,%d)\">\n", top - 14, width, rows * height + 4, -(n - rows) * height
  for (i = 0; i < n; i++) if (text[i] != "") {
    kind = ""
    if (i == 0) kind = "command"
    else if (text[i] ~ /^record /) kind = "record"
    else if (text[i] ~ /^ +[0-9]+ s /) kind = "stats"
    else if (i == n - 1) kind = "verdict"
    printf "<text id=\"l%d\" x=\"%d\" y=\"%d\"%s xml:space=\"preserve\">%s</text>\n", i, left, 14 + i * height, kind ? " class=\"" kind "\"" : "", escaped(text[i])
  }
  print "</g></svg>"
  print "</svg>"
}' "$lines" >"$out.new"
mv "$out.new" "$out"
echo "$out holds $(grep -c '<text ' "$out") lines of a run"
