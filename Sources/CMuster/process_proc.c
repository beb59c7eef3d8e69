// Reading /proc without a libc's buffers: this is done by guards, which are forks of processes with threads.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "internal/process.h"
#include "internal/process_tree.h"

int muster_process_dir_open(dir_reader *reader, int folder, const char *name) {
  reader->at = reader->length = 0;
  reader->file = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return reader->file < 0 ? errno : 0;
}

// struct linux_dirent64: inode and offset, 8 bytes each; then the size of the entry, its type, and the name.
const char *muster_process_dir_next(dir_reader *reader) {
  enum { SIZE = 16, NAME = 19 };
  if (reader->at >= reader->length) {
    reader->at = 0;
    reader->length = syscall(SYS_getdents64, reader->file, reader->entries, sizeof reader->entries);
    if (reader->length <= 0) return NULL;
  }
  const char *entry = reader->entries + reader->at;
  uint16_t size;
  memcpy(&size, entry + SIZE, sizeof size);
  if (size <= NAME) return NULL;
  reader->at += size;
  return entry + NAME;
}

void muster_process_dir_close(dir_reader *reader) { close(reader->file); }

int muster_process_proc_is_ours(void) {
  char text[16];
  int32_t number = 0;
  ssize_t length = readlink("/proc/self", text, sizeof text);
  for (ssize_t i = 0; i < length; i++) number = number * 10 + (text[i] - '0');
  return length > 0 && length < 11 && number == getpid() ? 0 : ENOENT;
}

// "/proc/", a number, "/" and a name. printf may allocate, or wait for a lock.
static void path_of(char path[64], int32_t pid, const char *name) {
  char digits[12];
  int count = 0;
  memcpy(path, "/proc/", 6);
  path += 6;
  do digits[count++] = (char)('0' + pid % 10);
  while ((pid /= 10));
  while (count) *path++ = digits[--count];
  *path++ = '/';
  strcpy(path, name);
}

int muster_process_proc_open(int32_t pid, const char *name) {
  char path[64];
  path_of(path, pid, name);
  return open(path, O_RDONLY | O_CLOEXEC);
}

long muster_process_read_proc(int32_t pid, const char *name, char *text, size_t size) {
  int file = muster_process_proc_open(pid, name);
  if (file < 0) return -1;
  ssize_t length;
  do length = read(file, text, size - 1);
  while (length < 0 && errno == EINTR);
  int error = errno;
  close(file);
  errno = error;
  text[length > 0 ? length : 0] = 0;
  return length;
}

// proc(5), /proc/loadavg: the last of five fields.
int32_t muster_process_last_number(void) {
  char text[128];
  int file = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
  ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
  if (file >= 0) close(file);
  if (length <= 0) return 0;
  text[length] = 0;
  int32_t number = 0;
  const char *last = strrchr(text, ' ');
  if (!last) return 0;
  while (*++last >= '0' && *last <= '9') number = number * 10 + (*last - '0');
  return number;
}

static const char *next_number(const char *at, int64_t *number) {
  while (*at == ' ') at++;
  int minus = *at == '-';
  if (minus) at++;
  uint64_t value = 0;
  while (*at >= '0' && *at <= '9') value = value * 10 + (uint64_t)(*at++ - '0');
  *number = (int64_t)(minus ? 0 - value : value);
  return at;
}

// The numbers from the 4th field on, as proc(5) counts them.
enum { PARENT, GROUP, SESSION, FLAGS = 5, FAULTS_MINOR, FAULTS_MAJOR = 8, USER = 10, SYSTEM, THREADS = 16, START = 18, SIZE, PAGES, ENVIRONMENT_END = 47, FIELDS };

int muster_process_read_stat(int32_t pid, process_stat *stat) {
  char text[1024];
  long length = muster_process_read_proc(pid, "stat", text, sizeof text);
  if (length < 0) return errno == ENOENT && !access("/proc/self/stat", F_OK) ? ESRCH : errno;
  if (length == 0) return ESRCH;
  // The second field is the name in parentheses and may hold anything, so from the last parenthesis on.
  const char *at = strrchr(text, ')');
  if (!at || at[1] != ' ' || !at[2]) return EBADMSG;
  stat->state = at[2];
  at += 3;
  int64_t fields[FIELDS];
  for (int i = 0; i < FIELDS; i++) {
    if (*at != ' ') return EBADMSG;
    at = next_number(at, &fields[i]);
  }
  stat->pid = pid;
  stat->parent = (int32_t)fields[PARENT];
  stat->group = (int32_t)fields[GROUP];
  stat->session = (int32_t)fields[SESSION];
  stat->flags = (uint32_t)fields[FLAGS];
  stat->threads = (uint32_t)fields[THREADS];
  stat->start = (uint64_t)fields[START];
  stat->user = (uint64_t)fields[USER];
  stat->system = (uint64_t)fields[SYSTEM];
  stat->faults_minor = (uint64_t)fields[FAULTS_MINOR];
  stat->faults_major = (uint64_t)fields[FAULTS_MAJOR];
  stat->pages = (uint64_t)fields[PAGES];
  stat->size = (uint64_t)fields[SIZE];
  stat->environment_end = (uint64_t)fields[ENVIRONMENT_END];
  return 0;
}
