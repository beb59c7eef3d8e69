# Builds against musl with the musl-gcc of a distribution: cmake --toolchain cmake/musl-toolchain.cmake
#
# musl-gcc sees musl's headers alone, and those do not hold the kernel's (linux/*.h, asm/*.h), which do not depend on
# the libc. The whole of /usr/include as a fallback would let a header of glibc slip in wherever musl has none, so
# a folder with links to the kernel's headers only is searched last.
# SPDX-License-Identifier: Apache-2.0
set(CMAKE_C_COMPILER musl-gcc)

set(kernel_headers ${CMAKE_BINARY_DIR}/CMakeFiles/kernel-headers)
file(MAKE_DIRECTORY ${kernel_headers})
foreach(folder linux asm-generic asm)
  file(GLOB found /usr/include/${folder} /usr/include/*-linux-gnu/${folder})
  if(NOT found)
    message(FATAL_ERROR "No kernel headers (${folder}) under /usr/include: install linux-libc-dev.")
  endif()
  list(GET found 0 first)
  file(CREATE_LINK ${first} ${kernel_headers}/${folder} SYMBOLIC)
endforeach()
set(CMAKE_C_FLAGS_INIT "-idirafter ${kernel_headers}")
