# The C tests, the examples, and the checks of what the library shows to the world. `ctest -L LABEL` chooses.
# SPDX-License-Identifier: Apache-2.0

# cmuster-tests: one CTest test for each suite. The suites are read from the sources, so that none can be forgotten
# here; the test named `suites` fails when one of them is not in the table of main.c.
file(GLOB test_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/Tests/CMusterTests/*.c)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${test_sources})
set(suites)
foreach(source ${test_sources})
  file(STRINGS ${source} lines REGEX "^TEST_SUITE\\([a-z0-9_]+")
  foreach(line ${lines})
    string(REGEX MATCH "^TEST_SUITE\\(([a-z0-9_]+)" matched "${line}")
    list(APPEND suites ${CMAKE_MATCH_1})
  endforeach()
endforeach()

add_executable(cmuster-tests ${test_sources})
target_include_directories(cmuster-tests PRIVATE ${PROJECT_SOURCE_DIR}/Sources/CMuster)
target_link_libraries(cmuster-tests PRIVATE muster_settings muster_static)

list(JOIN suites " " suites_expected)
add_test(NAME suites COMMAND ${CMAKE_COMMAND} -DPROGRAM=$<TARGET_FILE:cmuster-tests> "-DEXPECTED=${suites_expected}"
  -P ${PROJECT_SOURCE_DIR}/cmake/check-suites.cmake)
set_tests_properties(suites PROPERTIES LABELS build)
foreach(suite ${suites})
  add_test(NAME ${suite} COMMAND cmuster-tests ${suite})
  set_tests_properties(${suite} PROPERTIES LABELS "unit;${suite}" TIMEOUT 600)
endforeach()

# The crash sweep: ptrace cannot step what a sanitizer has rewritten in any sensible time.
file(GLOB sweep_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/Tests/CrashSweep/*.c)
if(sweep_sources AND NOT MUSTER_SANITIZE)
  add_executable(crash-sweep ${sweep_sources})
  target_include_directories(crash-sweep PRIVATE ${PROJECT_SOURCE_DIR}/Sources/CMuster)
  target_link_libraries(crash-sweep PRIVATE muster_settings muster_static)
  add_test(NAME crash-sweep COMMAND crash-sweep --brief)
  set_tests_properties(crash-sweep PROPERTIES LABELS sweep TIMEOUT 900 RUN_SERIAL ON)
endif()

# That nothing is allocated once a root runs: a program of its own, which replaces malloc. Sanitizers have theirs.
if(NOT MUSTER_SANITIZE)
  add_executable(root-allocations ${PROJECT_SOURCE_DIR}/Tests/Allocations/root_allocations.c)
  target_link_libraries(root-allocations PRIVATE muster_settings muster_static)
  add_test(NAME root-allocations COMMAND root-allocations)
  set_tests_properties(root-allocations PROPERTIES LABELS unit TIMEOUT 60)
endif()

# Examples: each is a whole program that is run without arguments and ends with status 0.
file(GLOB example_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/Examples/C/*.c)
foreach(source ${example_sources})
  get_filename_component(name ${source} NAME_WE)
  add_executable(example-${name} ${source})
  set_target_properties(example-${name} PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/examples)
  target_link_libraries(example-${name} PRIVATE muster_settings Muster::muster)
  if(name STREQUAL daemons AND MUSTER_SANITIZE MATCHES thread)
    continue()  # a root may have no other threads, and this sanitizer has one in each process
  endif()
  add_test(NAME example.${name} COMMAND example-${name})
  set_tests_properties(example.${name} PROPERTIES LABELS example TIMEOUT 60)
endforeach()

# The shared library exports what the headers declare: all of it, and nothing else. Sanitizers add symbols of their own.
find_program(MUSTER_GCC gcc)
find_program(MUSTER_NM NAMES nm llvm-nm)
if(MUSTER_GCC AND MUSTER_NM AND NOT MUSTER_SANITIZE)
  add_test(NAME exports COMMAND ${PROJECT_SOURCE_DIR}/Tests/consumer/exports
    ${MUSTER_GCC} ${MUSTER_NM} $<TARGET_FILE:muster> $<TARGET_FILE:muster_static> ${PROJECT_SOURCE_DIR}/include)
  set_tests_properties(exports PROPERTIES LABELS build)
endif()
