# Makes the table, or with form=json the JSON document, of Benchmarks/run: reads its machine, samples and figures.
# SPDX-License-Identifier: Apache-2.0
BEGIN { FS = "\t" }

$1 == "machine" { property[++properties] = $2; value[properties] = $3; next }
$1 == "sample" { sample[$2, ++count[$2]] = $3 + 0; known[$2] = 1; next }
$1 == "skip" || $1 == "failed" { why[$2] = ($1 == "skip" ? "skipped: " : "failed: ") $3; known[$2] = 1; next }
{ figures++; for (i = 1; i <= 6; i++) field[figures, i] = $i }

# Sorted into sorted[1..n]; the median of them.
function median(series,    n, i, j, x) {
  n = count[series]
  for (i = 1; i <= n; i++) {
    x = sample[series, i]
    for (j = i - 1; j >= 1 && sorted[j] > x; j--) sorted[j + 1] = sorted[j]
    sorted[j + 1] = x
  }
  return n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
}

# The series meant by "x*": the one with the smallest median.
function resolve(series,    prefix, name, best) {
  if (series !~ /\*$/) return series
  prefix = substr(series, 1, length(series) - 1)
  best = ""
  for (name in known) {
    if (substr(name, 1, length(prefix)) != prefix) continue
    if (best == "" || !count[best] || (count[name] && median(name) < median(best))) best = name
  }
  return best
}

function amount(x, unit) {
  if (unit == "us") { unit = "ns"; x *= 1000 }
  if (unit != "ns") return sprintf("%.3g %s", x, unit)
  if (x < 9999.5) return sprintf((x < 99.95 ? "%.1f ns" : "%.0f ns"), x)
  if (x < 9999500) return sprintf("%.1f us", x / 1000)
  return sprintf("%.2f ms", x / 1000000)
}

function absent(series) { return series in why ? why[series] : "not measured" }

function quoted(text) {
  gsub(/\\/, "\\\\", text)
  gsub(/"/, "\\\"", text)
  return "\"" text "\""
}

# Fills in ours, peer, ratio, spread, met of a figure.
function judge(f,    a, b, i, r, low, high, measured) {
  a = resolve(field[f, 2]); b = resolve(field[f, 3])
  ours_value = peer_value = ratio_value = ""
  spread = ""
  peer_series = b
  ours = count[a] ? amount(ours_value = median(a), field[f, 4]) : absent(a)
  peer = ratio = ""
  measured = ours_value
  if (b != "-") {
    peer = count[b] ? amount(peer_value = median(b), field[f, 4]) : absent(b)
    measured = ""
    if (count[a] && count[b]) {
      measured = ratio_value = ours_value / peer_value
      for (i = 1; i <= count[a] && i <= count[b]; i++) {
        r = sample[a, i] / sample[b, i]
        if (i == 1 || r < low) low = r
        if (i == 1 || r > high) high = r
      }
      spread = sprintf("%.3g-%.3g", low, high)
      ratio = sprintf("%.3g", ratio_value)
    }
    if (b ~ /@./) peer = peer " (" substr(b, index(b, "@") + 1) ")"
  }
  aim = field[f, 5]
  met = ""
  # Compared as printed: to three digits.
  if (aim != "-" && measured != "") met = sprintf("%.3g", measured) + 0 <= aim + 0 ? "yes" : "no"
}

function text(    i, f, rows, width, c, line) {
  for (i = 1; i <= properties; i++) printf "%-18s %s\n", property[i], value[i]
  print ""
  split("figure|Muster|peer|ratio|rounds|aim|met", head, "|")
  for (c = 1; c <= 7; c++) cell[0, c] = head[c]
  for (f = 1; f <= figures; f++) {
    judge(f)
    cell[f, 1] = field[f, 6]; cell[f, 2] = ours; cell[f, 3] = peer; cell[f, 4] = ratio; cell[f, 5] = spread
    cell[f, 6] = aim == "-" ? "" : field[f, 3] == "-" ? amount(aim, field[f, 4]) : aim
    cell[f, 7] = met
  }
  for (c = 1; c <= 7; c++) {
    width[c] = 3
    for (f = 0; f <= figures; f++) if (length(cell[f, c]) > width[c]) width[c] = length(cell[f, c])
  }
  for (f = 0; f <= figures; f++) {
    line = "|"
    for (c = 1; c <= 7; c++) line = line sprintf(" %-" width[c] "s |", cell[f, c])
    print line
    if (f == 0) {
      line = "|"
      for (c = 1; c <= 7; c++) { i = sprintf("%" (width[c] + 2) "s", ""); gsub(/ /, "-", i); line = line i "|" }
      print line
    }
  }
}

function number(x) { return x == "" ? "null" : sprintf("%.6g", x) }

function json(    i, f, name, sep) {
  print "{\n  \"machine\": {"
  for (i = 1; i <= properties; i++) printf "    %s: %s%s\n", quoted(property[i]), quoted(value[i]), (i < properties ? "," : "")
  print "  },\n  \"figures\": ["
  for (f = 1; f <= figures; f++) {
    judge(f)
    printf "    {\"name\": %s, \"title\": %s, \"unit\": %s, \"ours\": %s, \"peer\": %s, \"peer_series\": %s, ",
      quoted(field[f, 1]), quoted(field[f, 6]), quoted(field[f, 4]), number(ours_value), number(peer_value),
      (field[f, 3] == "-" ? "null" : quoted(peer_series))
    printf "\"ratio\": %s, \"aim\": %s, \"met\": %s", number(ratio_value), (aim == "-" ? "null" : aim),
      (met == "" ? "null" : met == "yes" ? "true" : "false")
    if (ours_value == "") printf ", \"absent\": %s", quoted(ours)
    else if (field[f, 3] != "-" && peer_value == "") printf ", \"absent\": %s", quoted(peer)
    print (f < figures ? "}," : "}")
  }
  print "  ],\n  \"samples\": {"
  sep = ""
  for (name in count) {
    printf "%s    %s: [", sep, quoted(name)
    for (i = 1; i <= count[name]; i++) printf "%s%s", (i > 1 ? ", " : ""), number(sample[name, i])
    printf "]"
    sep = ",\n"
  }
  print "\n  }\n}"
}

END { if (form == "json") json(); else text() }
