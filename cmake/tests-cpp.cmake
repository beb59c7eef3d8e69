# The C++ header: its tests and its examples, where there is a C++ compiler for the libc that the library is built for.
# The library itself is C; a machine without C++ builds and tests all the rest.
# SPDX-License-Identifier: Apache-2.0
include(CheckCSourceCompiles)
include(CheckCXXSourceCompiles)
include(CheckLanguage)

# The C++ compiler that belongs to the C compiler, where none is asked for: sanitizers don't mix.
if(NOT CMAKE_CXX_COMPILER AND NOT DEFINED ENV{CXX})
  get_filename_component(folder ${CMAKE_C_COMPILER} DIRECTORY)
  if(CMAKE_C_COMPILER_ID STREQUAL Clang)
    find_program(MUSTER_CXX NAMES clang++ HINTS ${folder})
  elseif(CMAKE_C_COMPILER_ID STREQUAL GNU)
    find_program(MUSTER_CXX NAMES g++ HINTS ${folder})
  endif()
  if(MUSTER_CXX)
    set(CMAKE_CXX_COMPILER ${MUSTER_CXX})
  endif()
endif()
check_language(CXX)
if(NOT CMAKE_CXX_COMPILER)
  message(STATUS "No C++ compiler: muster.hpp is not tested")
  return()
endif()
enable_language(CXX)

# musl-gcc has no C++ beside it: the machine's own would be glibc's.
set(asks_for_glibc "#include <limits.h>\n#ifndef __GLIBC__\n#error\n#endif\nint main(void) { return 0; }")
check_c_source_compiles("${asks_for_glibc}" MUSTER_C_IS_GLIBC)
check_cxx_source_compiles("${asks_for_glibc}" MUSTER_CXX_IS_GLIBC)
if(NOT "${MUSTER_C_IS_GLIBC}" STREQUAL "${MUSTER_CXX_IS_GLIBC}")
  message(STATUS "No C++ compiler for this libc: muster.hpp is not tested")
  return()
endif()

# What the C++ is compiled with, as muster_settings is for C.
add_library(muster_settings_cpp INTERFACE)
target_compile_options(muster_settings_cpp INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion)
if(MUSTER_WERROR)
  target_compile_options(muster_settings_cpp INTERFACE -Werror)
endif()
if(MUSTER_SANITIZE)
  target_compile_options(muster_settings_cpp INTERFACE
    -fsanitize=${MUSTER_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(muster_settings_cpp INTERFACE -fsanitize=${MUSTER_SANITIZE})
  if(MUSTER_SANITIZE MATCHES thread AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    target_compile_options(muster_settings_cpp INTERFACE -Wno-tsan)
  endif()
endif()

# Each header by itself, twice. What a sanitizer makes of that says nothing new.
file(GLOB_RECURSE cpp_headers RELATIVE ${PROJECT_SOURCE_DIR}/include CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/include/muster/*.hpp)
set(header_sources)
foreach(header ${cpp_headers})
  string(REPLACE "/" "-" file ${header})
  set(file ${PROJECT_BINARY_DIR}/headers/${file}.cpp)
  file(CONFIGURE OUTPUT ${file} CONTENT "#include <${header}>\n#include <${header}>\n")
  if(NOT MUSTER_SANITIZE)
    list(APPEND header_sources ${file})
  endif()
  set_source_files_properties(${file} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
endforeach()

file(GLOB cpp_test_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/Tests/CppTests/*.cpp)
foreach(standard ${MUSTER_CPP_STANDARDS})
  add_executable(cpp-tests-${standard} ${cpp_test_sources} ${header_sources})
  target_compile_features(cpp-tests-${standard} PRIVATE cxx_std_${standard})
  set_target_properties(cpp-tests-${standard} PROPERTIES CXX_EXTENSIONS OFF)
  target_link_libraries(cpp-tests-${standard} PRIVATE muster_settings_cpp muster_static)
  # Half the time of a test's compilation is its headers. Those that are to stand by themselves are compiled so.
  target_precompile_headers(cpp-tests-${standard} PRIVATE ${PROJECT_SOURCE_DIR}/Tests/CppTests/test.hpp)
  add_test(NAME cpp.${standard} COMMAND cpp-tests-${standard})
  set_tests_properties(cpp.${standard} PROPERTIES LABELS "unit;cpp" TIMEOUT 600)
endforeach()

file(GLOB cpp_example_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/Examples/Cpp/*.cpp)
foreach(source ${cpp_example_sources})
  get_filename_component(name ${source} NAME_WE)
  add_executable(example-cpp-${name} ${source})
  set_target_properties(example-cpp-${name} PROPERTIES OUTPUT_NAME ${name}-cpp CXX_EXTENSIONS OFF
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/examples)
  target_compile_features(example-cpp-${name} PRIVATE cxx_std_17)
  target_link_libraries(example-cpp-${name} PRIVATE muster_settings_cpp Muster::muster)
  add_test(NAME example.cpp.${name} COMMAND example-cpp-${name})
  set_tests_properties(example.cpp.${name} PROPERTIES LABELS "example;cpp" TIMEOUT 60)
endforeach()

# The fast paths stay inlined.
if(MUSTER_NM AND NOT MUSTER_SANITIZE)
  add_library(cpp-inlined OBJECT ${PROJECT_SOURCE_DIR}/Tests/CppTests/inlined/probe.cpp)
  target_compile_features(cpp-inlined PRIVATE cxx_std_17)
  target_compile_options(cpp-inlined PRIVATE -O2)
  target_link_libraries(cpp-inlined PRIVATE muster_settings_cpp)
  target_include_directories(cpp-inlined PRIVATE ${PROJECT_SOURCE_DIR}/include)
  add_test(NAME cpp.inlined
    COMMAND ${PROJECT_SOURCE_DIR}/Tests/CppTests/inlined/check ${MUSTER_NM} $<TARGET_OBJECTS:cpp-inlined>)
  set_tests_properties(cpp.inlined PROPERTIES LABELS "build;cpp")
endif()
