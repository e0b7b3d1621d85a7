# muon, which builds what Meson's files describe. It has a Ninja of its own, `muon samu`.
use ../lib/makefile.nu
use ../toolchain/pkgconf.nu

export def main [] {
  makefile package {
    name: muon
    version: "0.4.0"
    license: "GPL-3.0-only"
    homepage: "https://muon.build/"
    # The archive of its authors, where Debian has it: not all of Debian's releases list this version.
    src: (fetch deb muon-meson 0.4.0-1 --arch all --unpack archive --path pool/main/m/muon-meson/muon-meson_0.4.0.orig.tar.gz
      --hash b3-b7g5ruy24mug2mfyxnvzf2o75zejyru6wx6yuenkue5a36wm7gyq)
    dir: muon-v0.4.0
    packages: [(pkgconf)]
    # Its own build makes a first muon, which builds the second. The second only has the scripts in it that the first reads from the source. In a build no time
    # passes, so it waits for what its programs write instead of sleeping, and it looks for sh as for other programs.
    prepare: {|b|
      for edit in [
        [file from to];
        [external/samurai/build.c '"/bin/sh"' '"sh"']
        [external/samurai/build.c "if (state == run_cmd_running) {" "$0 run_cmd_wait(&jobs[i].cmd_ctx);"]
        [platform/posix/run_cmd.c "enum run_cmd_state\nrun_cmd_collect(" "void\nrun_cmd_wait(struct run_cmd_ctx *ctx)
          {
            struct pollfd files[] = {{ctx->pipefd_out[0], POLLIN}, {ctx->pipefd_err[0], POLLIN}};
            bool captures = !(ctx->flags & run_cmd_ctx_flag_dont_capture);
            poll(files, captures ? 2 : 0, captures ? -1 : 1);
          }\n$0"]
        [platform/posix/run_cmd.c "nanosleep(&req, NULL)" "run_cmd_wait(ctx)"]
        [platform/posix/timer.c "nanosleep(&req, NULL)" "poll(NULL, 0, 1)"]
      ] {
        let file = $"src/($edit.file)"
        open --raw $file | str replace $edit.from ($edit.to | str replace '$0' $edit.from) | save --force $file
      }
      let scripts = (glob src/script/**/*.{meson,html,py} | path relative-to $"($env.PWD)/src/script" | each {|s| $"src/script/($s) ($s)" } | str join " ")
      $"muon:\n\t$\(CC) -Iinclude -o embedder tools/embedder.c\n\t./embedder ($scripts) > embedded_files.h\n\t$\(SHELL) bootstrap.sh .\n\tmv muon-bootstrap muon\n" | save Makefile
    }
    make: ["CC=cc -include poll.h" "CFLAGS=-O1 -I. -DMUON_BOOTSTRAPPED"]
    copy: {bin: [muon]}
    runs: [sh]
  }
}
