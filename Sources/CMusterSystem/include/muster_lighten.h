// Giving back the pages of a program's code that it has in its memory and that the kernel has anyway.
//
// A process that is killed is told of when its memory has been taken down, page by page. Most pages of a small program are the code and the
// constants of its libraries, of which it has used little, at its start: the kernel maps sixteen around each that is touched. They are clean,
// and stay in the page cache; what is needed again comes back by a fault of a microsecond (madvise(2), MADV_DONTNEED of a private mapping of a file).
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_LIGHTEN_H
#define MUSTER_LIGHTEN_H

#include <stddef.h>

// Gives back what can't be written to of the program and its libraries. Pages that are this process's own, since a debugger or a profiler has
// written to them, stay: /proc/self/pagemap tells them apart, and where it can't be read nothing is given back; nor is what was locked
// (mlock(2)), nor a library whose text is relocated, which another thread's dlopen may be doing just now. Returns how many
// bytes of mappings were given back, whether or not there were pages in them.
size_t muster_lighten(void);

#endif
