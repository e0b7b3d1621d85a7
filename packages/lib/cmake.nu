# Packages with a CMakeLists.txt, built by CMake in WebAssembly:
#
#     use lib/cmake.nu
#
#     export def main [] {
#       cmake package {
#         name: cmocka
#         version: "1.1.5"
#         src: (fetch debsrc cmocka 1.1.5-2.1 --hash b3-…)
#         options: [-DWITH_EXAMPLES=OFF]
#       }
#     }
use ../app/cmake.nu
use ../toolchain/cxx.nu
use ../toolchain/pkgconf.nu
use makefile.nu

# A package with a CMakeLists.txt. Its fields, beside those of a derivation:
#   options  arguments of cmake, such as [-DBUILD_TESTING=OFF]
#   check    true runs the package's own tests
#   dir, prepare, make, copy, finish, runs, wrap  as for `makefile package`
export def package [spec: record] {
  let how = (makefile steps ($spec | reject -o check))
  let check = ($spec.check? | default false)
  let given = ($spec | merge {packages: [(cmake) (cxx) (pkgconf) ...($spec.packages? | default [])]})
  makefile describe $given --leave [options] {|b|
    makefile begin $b $how
    let make = [-C build $"SHELL=($b.packages.sh)/bin/sh"]
    # The type None has no options of its own, so those of CFLAGS count.
    (^cmake -S . -B build -G "Unix Makefiles" -DCMAKE_INSTALL_PREFIX=/nuka/self -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_BUILD_TYPE=None -DBUILD_SHARED_LIBS=OFF
      $"-DCMAKE_PREFIX_PATH=($b.packages | values | str join ';')" ...($spec.options? | default []))
    ^make ...$make $"-j($b.jobs)" ...$how.make
    if $check { test }
    if $how.copy == {} { install $b $make }
    makefile end $b ($how | merge {install: false})
  }
}

# Install the package, and make the files that describe it to others independent of the place where it was built.
def install [b: record, make: list<string>] {
  ^make ...$make install DESTDIR=/nuka/build/stage
  for entry in (ls -a /nuka/build/stage/nuka/self) { mv $entry.name $b.out }
  for kind in [[files folder]; ["**/*.cmake" CMAKE_CURRENT_LIST_DIR] ["{lib,share}/pkgconfig/*.pc" pcfiledir]] {
    for file in (glob $"($b.out)/($kind.files)") {
      let up = ($file | path dirname | path relative-to $b.out | split row "/" | each { "/.." } | str join)
      open --raw $file | str replace --all /nuka/self $"${($kind.folder)}($up)" | save --force $file
    }
  }
}

# Run the package's tests. CMake lists them in its own language, for ctest; here CMake reads the list itself.
def test [] {
  'function(add_test name)
    set_property(GLOBAL APPEND PROPERTY tests "${name}")
    set_property(GLOBAL PROPERTY "COMMAND ${name}" "${ARGN}")
    set_property(GLOBAL PROPERTY "WORKING_DIRECTORY ${name}" "${CMAKE_CURRENT_LIST_DIR}")
  endfunction()
  function(set_tests_properties name)
    math(EXPR last "${ARGC} - 2")
    foreach(i RANGE 2 ${last} 2)
      math(EXPR value "${i} + 1")
      set_property(GLOBAL PROPERTY "${ARGV${i}} ${name}" "${ARGV${value}}")
    endforeach()
  endfunction()
  function(subdirs)
    foreach(dir IN LISTS ARGN)
      get_filename_component(dir "${dir}" ABSOLUTE BASE_DIR "${CMAKE_CURRENT_LIST_DIR}")
      include("${dir}/CTestTestfile.cmake")
    endforeach()
  endfunction()
  include(build/CTestTestfile.cmake)
  get_property(tests GLOBAL PROPERTY tests)
  foreach(name IN LISTS tests)
    foreach(p COMMAND WORKING_DIRECTORY ENVIRONMENT DISABLED WILL_FAIL SKIP_RETURN_CODE PASS_REGULAR_EXPRESSION FAIL_REGULAR_EXPRESSION)
      get_property(${p} GLOBAL PROPERTY "${p} ${name}")
    endforeach()
    if(DISABLED)
      continue()
    endif()
    execute_process(COMMAND "${CMAKE_COMMAND}" -E env ${ENVIRONMENT} ${COMMAND} WORKING_DIRECTORY "${WORKING_DIRECTORY}"
      RESULT_VARIABLE result OUTPUT_VARIABLE text ERROR_VARIABLE text)
    set(says "failed: ${result}: ${text}")
    if(PASS_REGULAR_EXPRESSION)
      set(result 1)
      foreach(regex IN LISTS PASS_REGULAR_EXPRESSION)
        if(text MATCHES "${regex}")
          set(result 0)
        endif()
      endforeach()
    endif()
    foreach(regex IN LISTS FAIL_REGULAR_EXPRESSION)
      if(text MATCHES "${regex}")
        set(result 1)
      endif()
    endforeach()
    if(result STREQUAL "0" AND NOT WILL_FAIL OR WILL_FAIL AND NOT result STREQUAL "0")
      set(says passed)
    elseif(NOT SKIP_RETURN_CODE STREQUAL "" AND result STREQUAL SKIP_RETURN_CODE)
      set(says skipped)
    else()
      list(APPEND failed "${name}")
    endif()
    message("test ${name} ${says}")
  endforeach()
  if(failed)
    message(FATAL_ERROR "failed tests: ${failed}")
  endif()' | save /nuka/build/tests.cmake
  ^cmake -P /nuka/build/tests.cmake
}
