// Records as lines: of text for a terminal or a file, or of JSON (RFC 8259).
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "internal/log.h"

// What was written so far; beyond `capacity` it is only counted.
typedef struct out {
  char *bytes;
  size_t capacity, size;
} out;

static void put(out *to, const char *bytes, size_t size) {
  if (to->size + size <= to->capacity) memcpy(to->bytes + to->size, bytes, size);
  to->size += size;
}

static void put_word(out *to, const char *word) { put(to, word, strlen(word)); }

// ---- Characters

// The bytes of the UTF-8 character at `text` (RFC 3629: no surrogates, no detours), and which it is; 0: there is none.
static uint32_t character(const char *text, uint32_t left, uint32_t *code) {
  const unsigned char *at = (const unsigned char *)text;
  if (at[0] < 0x80) return *code = at[0], 1;
  uint32_t size = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
  if (at[0] < 0xc2 || at[0] > 0xf4 || size > left) return 0;
  uint32_t value = at[0] & (0x7fu >> size);
  for (uint32_t k = 1; k < size; k++) {
    if ((at[k] & 0xc0) != 0x80) return 0;
    value = value << 6 | (at[k] & 0x3fu);
  }
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < least[size] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) return 0;
  *code = value;
  return size;
}

// Those that do something to a terminal, or to who reads: C0, C1, and what turns the direction of writing.
static int is_control(uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x202a && code <= 0x202e) ||
         (code >= 0x2066 && code <= 0x2069) || code == 0x2028 || code == 0x2029;
}

typedef enum quoting { PLAIN, QUOTED, JSON } quoting;

static void put_escape(out *to, uint32_t code) {
  char text[12];
  const char *names = "\nn\rr\tt\bb\ff";
  const char *name = code < 0x20 && code ? strchr(names, (int)code) : NULL;
  if (name) snprintf(text, sizeof text, "\\%c", name[1]);
  else snprintf(text, sizeof text, "\\u%04" PRIx32, code);
  put_word(to, text);
}

// All of a text, on one line. What is no UTF-8 becomes U+FFFD.
static void put_text(out *to, muster_log_text text, quoting how) {
  for (uint32_t at = 0; at < text.size;) {
    uint32_t code, size = character(text.bytes + at, text.size - at, &code);
    if (!size) put(to, "\xef\xbf\xbd", 3), size = 1;
    else if (is_control(code)) put_escape(to, code);
    else if (how != PLAIN && (code == '"' || code == '\\')) put(to, "\\", 1), put(to, text.bytes + at, 1);
    else put(to, text.bytes + at, size);
    at += size;
  }
}

static void put_quoted(out *to, muster_log_text text, quoting how) {
  put(to, "\"", 1);
  put_text(to, text, how);
  put(to, "\"", 1);
}

// Whether a value can stand without quotes and be told from what follows.
static int is_bare(muster_log_text text) {
  for (uint32_t k = 0; k < text.size; k++) {
    unsigned char c = (unsigned char)text.bytes[k];
    if (c <= ' ' || c >= 0x7f || strchr("\"\\=#{}", c)) return 0;
  }
  return text.size > 0;
}

static void put_bare(out *to, muster_log_text text) {
  if (is_bare(text)) put(to, text.bytes, text.size);
  else put_quoted(to, text, QUOTED);
}

// ---- Values

// As short as it reads back the same; the program's locale may have another decimal point, of several bytes even.
static void put_double(out *to, double value, quoting how) {
  char text[64], plain[64];
  if (value != value || value - value != 0) {
    const char *word = value != value ? "nan" : value > 0 ? "inf" : "-inf";
    if (how == JSON) put(to, "\"", 1);
    put_word(to, word);
    if (how == JSON) put(to, "\"", 1);
    return;
  }
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, value);
    double back;
    if (sscanf(text, "%lf", &back) == 1 && memcmp(&back, &value, sizeof back) == 0) break;
  }
  size_t size = 0;
  for (const char *at = text; *at; at++) {
    if (strchr("0123456789+-e", *at)) plain[size++] = *at;
    else if (!size || plain[size - 1] != '.') plain[size++] = '.';
  }
  put(to, plain, size);
}

static void put_value(out *to, const muster_log_pair *pair, quoting how) {
  char text[32];
  double number;
  muster_log_text string = {pair->text, pair->text_size, 0};
  switch (pair->type) {
    case MUSTER_LOG_STRING:
      if (how == JSON) put_quoted(to, string, JSON);
      else put_bare(to, string);
      return;
    case MUSTER_LOG_INT: snprintf(text, sizeof text, "%" PRId64, (int64_t)pair->bits); break;
    case MUSTER_LOG_UINT: snprintf(text, sizeof text, "%" PRIu64, pair->bits); break;
    case MUSTER_LOG_BOOL: snprintf(text, sizeof text, "%s", pair->bits ? "true" : "false"); break;
    case MUSTER_LOG_DOUBLE:
    default:
      memcpy(&number, &pair->bits, sizeof number);
      put_double(to, number, how);
      return;
  }
  put_word(to, text);
}

// As many digits as asked for, with zeros in front. The same steps for each number: the crash sweep goes through them.
static char *lay_digits(char *to, int64_t number, int digits) {
  for (int k = digits; k-- > 0; number /= 10) to[k] = (char)('0' + number % 10);
  return to + digits;
}

// The day that is so many days after 1970-01-01, in the Gregorian calendar. Counted from a first of March, so that a leap
// day is the last of its year (E. G. Richards, "Calendars", in the Explanatory Supplement to the Astronomical Almanac).
static char *lay_date(char *to, int64_t days) {
  int64_t day = days + 719468, era = (day >= 0 ? day : day - 146096) / 146097, of_era = day - era * 146097;
  int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  int64_t of_year = of_era - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
  int64_t date = of_year - (153 * month + 2) / 5 + 1;
  int early = month >= 10;
  to = lay_digits(to, year + era * 400 + early, 4);
  *to++ = '-';
  to = lay_digits(to, early ? month - 9 : month + 3, 2);
  *to++ = '-';
  return lay_digits(to, date, 2);
}

static int64_t local_offset(int64_t second) {
  time_t when = (time_t)second;
  struct tm parts = {0};
  // localtime_r need not look at TZ.
  int saved = errno;
  tzset();
  int64_t offset = localtime_r(&when, &parts) ? parts.tm_gmtoff : 0;
  errno = saved;
  return offset;
}

static void put_time(out *to, int64_t time, int digits, int local) {
  char text[64], *at = text;
  int64_t second = time / 1000000000, rest = time % 1000000000;
  if (rest < 0) rest += 1000000000, second--;
  int64_t offset = local ? local_offset(second) : 0;
  second += offset;
  int64_t days = (second >= 0 ? second : second - 86399) / 86400, of_day = second - days * 86400;
  at = lay_date(at, days);
  *at++ = 'T';
  at = lay_digits(at, of_day / 3600, 2);
  *at++ = ':';
  at = lay_digits(at, of_day / 60 % 60, 2);
  *at++ = ':';
  at = lay_digits(at, of_day % 60, 2);
  *at++ = '.';
  for (int k = digits; k < 9; k++) rest /= 10;
  at = lay_digits(at, rest, digits);
  if (local) {
    *at++ = offset < 0 ? '-' : '+';
    int64_t minutes = (offset < 0 ? -offset : offset) / 60;
    at = lay_digits(at, minutes / 60, 2);
    *at++ = ':';
    at = lay_digits(at, minutes % 60, 2);
  } else {
    *at++ = 'Z';
  }
  put(to, text, (size_t)(at - text));
}

static void put_uuid(out *to, const uint8_t *bytes) {
  char text[40], *at = text;
  for (int k = 0; k < 16; k++) {
    if (k == 4 || k == 6 || k == 8 || k == 10) *at++ = '-';
    *at++ = "0123456789abcdef"[bytes[k] >> 4];
    *at++ = "0123456789abcdef"[bytes[k] & 15];
  }
  put(to, text, (size_t)(at - text));
}

// ---- The line of text

static void put_level(out *to, muster_log_level level, int colour) {
  static const char *const colours[] = {"\33[2m", "\33[36m", "\33[32m", "\33[34m", "\33[33m", "\33[31m", "\33[1;31m"};
  const char *name = muster_log_level_name(level);
  if (colour) put_word(to, colours[(uint32_t)level < MUSTER_LOG_OFF ? level : MUSTER_LOG_TRACE]);
  put_word(to, name);
  if (colour) put_word(to, "\33[0m");
  for (size_t width = strlen(name); width < 8; width++) put(to, " ", 1);
}

static void put_source(out *to, const muster_log_record *record) {
  char line[16];
  put_word(to, " (");
  put_text(to, record->file, PLAIN);
  snprintf(line, sizeof line, ":%" PRIu32, record->line);
  if (record->file.size) put_word(to, line);
  if (record->file.size && record->function.size) put(to, " ", 1);
  put_text(to, record->function, PLAIN);
  put(to, ")", 1);
}

static void put_line(out *to, const muster_log_record *record, uint32_t format) {
  char who[32];
  put_time(to, record->time, 6, (format & MUSTER_LOG_FORMAT_LOCAL) != 0);
  put(to, " ", 1);
  put_level(to, record->level, (format & MUSTER_LOG_FORMAT_COLOUR) != 0);
  snprintf(who, sizeof who, record->thread && record->thread != (uint32_t)record->pid ? " %d/%" PRIu32 : " %d",
           (int)record->pid, record->thread);
  put_word(to, who);
  put(to, " ", 1);
  if (record->label.size) put_text(to, record->label, PLAIN), put_word(to, ": ");
  put_text(to, record->message, PLAIN);
  for (uint32_t k = 0; k < record->pair_count; k++) {
    const muster_log_pair *pair = &record->pairs[k];
    put(to, " ", 1);
    put_bare(to, (muster_log_text){pair->key, pair->key_size, 0});
    put(to, "=", 1);
    put_value(to, pair, QUOTED);
  }
  for (uint32_t k = 0; k < record->tag_count; k++) put_word(to, " #"), put_bare(to, record->tags[k]);
  if (record->has_correlation) put_word(to, " {"), put_uuid(to, record->correlation), put(to, "}", 1);
  if (record->file.size || record->function.size) put_source(to, record);
  if (record->cut) put_word(to, " ...");
  put(to, "\n", 1);
}

// ---- The JSON object

static void put_member(out *to, const char *name, muster_log_text text) {
  if (!text.size) return;
  put_word(to, ",\"");
  put_word(to, name);
  put_word(to, "\":");
  put_quoted(to, text, JSON);
}

static void put_number(out *to, const char *name, uint64_t number) {
  char text[64];
  snprintf(text, sizeof text, ",\"%s\":%" PRIu64, name, number);
  put_word(to, text);
}

static const char *const kinds[] = {"written", "lost", "unreadable", "corrupt"};

static void put_kind(out *to, const muster_log_record *record) {
  if (record->kind == MUSTER_LOG_WRITTEN || (uint32_t)record->kind > MUSTER_LOG_CORRUPT) return;
  put_member(to, "kind", muster_log_text_of(kinds[record->kind]));
  if (record->kind == MUSTER_LOG_LOST) put_number(to, "lost", record->lost);
}

static void put_lists(out *to, const muster_log_record *record) {
  for (uint32_t k = 0; k < record->tag_count; k++) {
    put_word(to, k ? "," : ",\"tags\":[");
    put_quoted(to, record->tags[k], JSON);
  }
  if (record->tag_count) put(to, "]", 1);
  for (uint32_t k = 0; k < record->pair_count; k++) {
    const muster_log_pair *pair = &record->pairs[k];
    put_word(to, k ? "," : ",\"fields\":{");
    put_quoted(to, (muster_log_text){pair->key, pair->key_size, 0}, JSON);
    put(to, ":", 1);
    put_value(to, pair, JSON);
  }
  if (record->pair_count) put(to, "}", 1);
}

static void put_json(out *to, const muster_log_record *record, uint32_t format) {
  put_word(to, "{\"time\":\"");
  put_time(to, record->time, 9, (format & MUSTER_LOG_FORMAT_LOCAL) != 0);
  put_word(to, "\"");
  put_member(to, "level", muster_log_text_of(muster_log_level_name(record->level)));
  put_kind(to, record);
  put_number(to, "pid", (uint32_t)record->pid);
  put_number(to, "thread", record->thread);
  put_number(to, "place", record->place);
  put_number(to, "number", record->number);
  put_member(to, "label", record->label);
  put_word(to, ",\"message\":");
  put_quoted(to, record->message, JSON);
  put_lists(to, record);
  if (record->has_correlation) put_word(to, ",\"correlation\":\""), put_uuid(to, record->correlation), put(to, "\"", 1);
  put_member(to, "file", record->file);
  if (record->file.size) put_number(to, "line", record->line);
  put_member(to, "function", record->function);
  if (record->cut) put_word(to, ",\"cut\":true");
  put_word(to, "}\n");
}

size_t muster_log_format_record(const muster_log_record *record, uint32_t format, char *buffer, size_t capacity) {
  out to = {.bytes = buffer, .capacity = buffer ? capacity : 0};
  int saved = errno;
  if (format & MUSTER_LOG_FORMAT_JSON) put_json(&to, record, format);
  else put_line(&to, record, format);
  // A number too small to be told from 0 by its first digits sets it.
  errno = saved;
  return to.size;
}
