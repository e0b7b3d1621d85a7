# CMake, which generates what make or Ninja builds from a project's CMakeLists.txt.
use ../lib/makefile.nu
use ../toolchain/cxx.nu

# What this build leaves out: curl and so file(DOWNLOAD), as builds have no network; libarchive and zlib, so cmake -E tar; AUTOMOC of Qt, which needs threads; and
# load_command, which needs shared libraries. The sources have an #if around most of it, for the small CMake that builds CMake. IF is the #if, and what follows tells which.
const edits = [
  [file from to];
  [cmSystemTools.cxx 'IF(\n(?:#  include <cm3p/archive|static std::string cm_archive|  std::string cwd = |namespace \{|  return extract_tar))' '#if 0$1']
  [cmFileCommand.cxx '#  include .*[cC]url.*' '']
  [cmFileCommand.cxx 'IF(\n(?:\n// Stuff for curl|  auto i = |  if \(args.size\(\) < 3\) \{\n    status.SetError\("UPLOAD))' '#if 0$1']
  [cmGeneratedFileStream.cxx '#  include <cm3p/zlib.h>' '']
  [cmGeneratedFileStream.cxx 'IF(\nint cmGenerated)' '#if 0$1']
  [cmake.cxx '.*(curl/curl.h|auto\* curlVersion).*' '']
  [cmake.cxx 'static_cast<bool>\(curlVersion.*\)' 'false']
  [cmcmd.cxx '#include "cmQtAuto.*' '']
  [cmcmd.cxx 'IF(\n.*cmake_autogen)' '#if 0$1']
  [cmGlobalGenerator.cxx '#  include "cmQtAuto.*' '']
  [cmGlobalGenerator.cxx 'IF(\n  cmQtAutoGen)' '#if 0$1']
  [cmakemain.cxx '.*(cmDynamicLoader.h|cmDynamicLoader::).*' '']
  [cmCommands.cxx '#  include "cmLoadCommandCommand.h"' '']
  [cmCommands.cxx 'state->AddDisallowedCommand\(\s+"load_command"[^)]*\);' '']
  [cmUVHandlePtr.cxx 'IF()' '#if 0$1']
  [cmCMakePresetsGraphInternal.h '^' "#pragma once\n"]
  [../Utilities/cmlibuv/include/uv/unix.h '#ifdef CMAKE_BOOTSTRAP' '#if 1']
  [../Utilities/cmlibuv/src/unix/fs.c '\bstatfs( buf|\(req)' 'statvfs$1']
  [../Utilities/cmlibuv/src/unix/fs.c 'buf.f_type' '0']
  [../Utilities/cmlibuv/src/unix/core.c '^' "#include <absent.h>\n"]
  [../Utilities/cmlibuv/src/unix/stream.c '^' "#include <absent.h>\n"]
]

const flags = [
  -I. -ISource -ISource/LexerParser -IUtilities -IUtilities/std -IUtilities/cmjsoncpp/include
  -IUtilities/cmlibuv/include -IUtilities/cmlibuv/src -IUtilities/cmlibuv/src/unix
  -DCMake_HAVE_CXX_MAKE_UNIQUE=1 -DCMake_HAVE_CXX_FILESYSTEM=1 -DKWSYS_NAMESPACE=cmsys -DKWSYS_STRING_C
  -DKWSYS_CXX_HAS_SETENV=1 -DKWSYS_CXX_HAS_UNSETENV=1 -DKWSYS_CXX_HAS_UTIMENSAT=1
]

export def main [] {
  makefile package {
    name: cmake
    version: "3.25.1"
    license: "BSD-3-Clause"
    homepage: "https://cmake.org/"
    src: (fetch debsrc cmake 3.25.1-1 --hash b3-wkmxikpyqqtlwvrmulp3czs267sl7cjeqqmpp5cpmf2wgptzxmzq)
    packages: [(cxx)]
    prepare: {|b|
      for edit in $edits {
        let from = ($edit.from | str replace IF '#if(?:ndef CMAKE_BOOTSTRAP| !defined\(CMAKE_BOOTSTRAP\))')
        open --raw $"Source/($edit.file)" | str replace --all --regex $from $edit.to | save --force $"Source/($edit.file)"
      }
      mkdir cmsys
      for file in (glob Source/kwsys/*.{h,hxx}.in) {
        open --raw $file | str replace --all @KWSYS_NAMESPACE@ cmsys | str replace --all --regex '@KWSYS_(STL_HAS_WSTRING|SYSTEMTOOLS_USE_TRANSLATION_MAP)@' 1
          | str replace --all --regex '@KWSYS_\w+@' 0 | save $"cmsys/($file | path parse | get stem)"
      }
      "" | save cmThirdParty.h
      "" | save cmSTL.hxx
      # For libuv's code that passes descriptors through sockets. There are none.
      '#include <sys/socket.h>
        struct cmsghdr { socklen_t cmsg_len; int cmsg_level, cmsg_type; };
        #define SCM_RIGHTS 1' | save cmsghdr.h
      '#define CMSG_DATA(c) ((unsigned char *)((struct cmsghdr *)(c) + 1))
        #define CMSG_LEN(n) (sizeof(struct cmsghdr) + (n))
        #define CMSG_SPACE(n) (sizeof(struct cmsghdr) + ((n) + 3 & ~3))
        #define CMSG_FIRSTHDR(m) ((m)->msg_controllen < sizeof(struct cmsghdr) ? 0 : (struct cmsghdr *)(m)->msg_control)
        #define CMSG_NXTHDR(m, c) ((struct cmsghdr *)0)' | save absent.h
      '#include <errno.h>
        ssize_t sendmsg(int fd, const struct msghdr *m, int flags) { errno = ENOTSOCK; return -1; }
        ssize_t recvmsg(int fd, struct msghdr *m, int flags) { errno = ENOTSOCK; return -1; }
        void *dlsym(void *library, const char *name) { return 0; }
        char *dlerror(void) { return "there are no shared libraries"; }' | save absent.c
      let v = ($b.version | split row ".")
      $"#define CMake_VERSION_MAJOR ($v.0)\n#define CMake_VERSION_MINOR ($v.1)\n#define CMake_VERSION_PATCH ($v.2)\n#define CMake_VERSION_SUFFIX \"\"
        #define CMake_VERSION_IS_DIRTY 0\n#define CMake_VERSION \"($b.version)\"\n" | save cmVersionConfig.h
      '#include <cmsys/Configure.hxx>
        #define CMake_DEFAULT_RECURSION_LIMIT 1000
        #define CMAKE_BIN_DIR "/bin"
        #define CMAKE_DATA_DIR "/share/cmake"
        #define CMAKE_DOC_DIR "/share/doc/cmake"
        #define HAVE_UNSETENV
        #define CMake_STAT_HAS_ST_MTIM 1
        #define CM_FALLTHROUGH cmsys_FALLTHROUGH' | save cmConfigure.h

      # Most of the time of a compiler goes into the headers. So forty sources are one, and those that define the same names as others are another one.
      let all = (open --raw Source/CMakeLists.txt | split row "\n  CMakeLib\n" | get 1 | split row "bindexplib.cxx" | first
        | parse --regex '(?<file>[\w/]+\.cxx)\s' | get file)
      let left = "^cm(QtAuto.*|WorkerPool|XMLParser|Curl|ArchiveWrite|DynamicLoader|LoadCommandCommand|Affinity).cxx$"
      let apart = ([CMakePresetsGraphReadJSONPackagePresets CoreTryCompile ExportInstallFileGenerator FileCommand GccDepfileLexerHelper
        InstallImportedRuntimeArtifactsGenerator InstallProgramsCommand Target] | each {|n| $"cm($n).cxx" })
      let together = ([...$all bindexplib.cxx cmakemain.cxx cmcmd.cxx] | where {|f| $f !~ $left and $f !~ "^LexerParser" and $f not-in $apart })
      let joined = ([...($together | chunks 40) $apart] | enumerate | each {|part|
        $part.item | each {|f| $"#include \"($f)\"\n" } | str join | save $"joined($part.index).cxx"
        $"joined($part.index).cxx"
      })
      let list = {|name, pattern| open --raw bootstrap | parse --regex ('(?s)NAME="(?<text>.*?)"' | str replace NAME $name) | last | get text
        | parse --regex '(?<word>[\w./-]+)' | get word | each {|word| $pattern | str replace "*" $word } }
      let sources = [
        joined1.cxx joined2.cxx joined3.cxx ...($joined | where {|f| $f !~ "[123]" })
        ...($all | where {|f| $f =~ "^LexerParser" } | each {|f| $"Source/($f)" }) Source/LexerParser/cmListFileLexer.c Source/cm_get_date.c Source/cm_utf8.c absent.c
        ...(do $list KWSYS_C_SOURCES "Source/kwsys/*.c") ...(do $list KWSYS_CXX_SOURCES "Source/kwsys/*.cxx") Source/kwsys/SystemInformation.cxx
        ...(glob Utilities/std/cm/bits/*.cxx) ...(glob Utilities/cmjsoncpp/src/lib_json/*.cpp)
        ...(do $list LIBUV_C_SOURCES "Utilities/cmlibuv/*") ...(do $list LIBRHASH_C_SOURCES "Utilities/cmlibrhash/*")
      ]
      let objects = ($sources | str replace --regex '\.\w+$' .o | str join " ")
      # The core is optimized, and the single commands are not: a compiler works longer on these than they ever take. Of what both have, the linker takes the first.
      $"cmake: ($objects)\n\t$\(CXX) -o $@ $^\njoined1.o joined2.o joined3.o: CXXFLAGS = -O1 -w
%.o: %.cxx\n\t$\(CXX) $\(CXXFLAGS) $\(CPPFLAGS) -c -o $@ $<
%.o: %.cpp\n\t$\(CXX) $\(CXXFLAGS) $\(CPPFLAGS) -c -o $@ $<
CXXFLAGS = -O0 -w\n" | save Makefile
      # The name is that of `uname`. A library that a project calls shared is a static one.
      "include(Platform/UnixPaths)
        set_property(GLOBAL PROPERTY TARGET_SUPPORTS_SHARED_LIBS FALSE)
        set(CMAKE_SHARED_LIBRARY_SUFFIX .a)
" | save Modules/Platform/WASI.cmake
    }
    make: [
      $"CPPFLAGS=($flags | str join ' ')"
      "CFLAGS=-O1 -w -DCMAKE_BOOTSTRAP -include sys/statvfs.h -include cmsghdr.h"
    ]
    copy: {bin: [cmake], share/cmake: [Modules Templates]}
  }
}
