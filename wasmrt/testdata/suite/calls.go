package main

import "unsafe"

// The calls of wasi_snapshot_preview1, called directly: Go's own library would change paths and errors.

//go:wasmimport wasi_snapshot_preview1 args_sizes_get
//go:noescape
func args_sizes_get(n, size unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 args_get
//go:noescape
func args_get(ptrs, buf unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 environ_sizes_get
//go:noescape
func environ_sizes_get(n, size unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 environ_get
//go:noescape
func environ_get(ptrs, buf unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 clock_res_get
//go:noescape
func clock_res_get(id uint32, out unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 clock_time_get
//go:noescape
func clock_time_get(id uint32, precision uint64, out unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 random_get
//go:noescape
func random_get(p unsafe.Pointer, n uint32) errno

//go:wasmimport wasi_snapshot_preview1 sched_yield
func sched_yield() errno

//go:wasmimport wasi_snapshot_preview1 proc_exit
func proc_exit(code uint32)

//go:wasmimport wasi_snapshot_preview1 poll_oneoff
//go:noescape
func poll_oneoff(in, out unsafe.Pointer, n uint32, got unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 sock_shutdown
func sock_shutdown(fd int32, how uint32) errno

//go:wasmimport wasi_snapshot_preview1 fd_advise
func fd_advise(fd int32, off, n uint64, advice uint32) errno

//go:wasmimport wasi_snapshot_preview1 fd_allocate
func fd_allocate(fd int32, off, n uint64) errno

//go:wasmimport wasi_snapshot_preview1 fd_close
func fd_close(fd int32) errno

//go:wasmimport wasi_snapshot_preview1 fd_fdstat_get
//go:noescape
func fd_fdstat_get(fd int32, out unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 fd_fdstat_set_flags
func fd_fdstat_set_flags(fd int32, flags uint32) errno

//go:wasmimport wasi_snapshot_preview1 fd_fdstat_set_rights
func fd_fdstat_set_rights(fd int32, base, inherit uint64) errno

//go:wasmimport wasi_snapshot_preview1 fd_filestat_get
//go:noescape
func fd_filestat_get(fd int32, out unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 fd_filestat_set_size
func fd_filestat_set_size(fd int32, size uint64) errno

//go:wasmimport wasi_snapshot_preview1 fd_filestat_set_times
func fd_filestat_set_times(fd int32, atim, mtim uint64, flags uint32) errno

//go:wasmimport wasi_snapshot_preview1 fd_prestat_get
//go:noescape
func fd_prestat_get(fd int32, out unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 fd_prestat_dir_name
//go:noescape
func fd_prestat_dir_name(fd int32, p unsafe.Pointer, n uint32) errno

//go:wasmimport wasi_snapshot_preview1 fd_read
//go:noescape
func fd_read(fd int32, iovs unsafe.Pointer, n uint32, got unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 fd_pread
//go:noescape
func fd_pread(fd int32, iovs unsafe.Pointer, n uint32, off uint64, got unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 fd_write
//go:noescape
func fd_write(fd int32, iovs unsafe.Pointer, n uint32, got unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 fd_pwrite
//go:noescape
func fd_pwrite(fd int32, iovs unsafe.Pointer, n uint32, off uint64, got unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 fd_readdir
//go:noescape
func fd_readdir(fd int32, p unsafe.Pointer, n uint32, cookie uint64, got unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 fd_renumber
func fd_renumber(from, to int32) errno

//go:wasmimport wasi_snapshot_preview1 fd_seek
//go:noescape
func fd_seek(fd int32, off int64, whence uint32, out unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 fd_tell
//go:noescape
func fd_tell(fd int32, out unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 path_create_directory
//go:noescape
func path_create_directory(dir int32, name string) errno

//go:wasmimport wasi_snapshot_preview1 path_filestat_get
//go:noescape
func path_filestat_get(dir int32, lookup uint32, name string, out unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 path_filestat_set_times
//go:noescape
func path_filestat_set_times(dir int32, lookup uint32, name string, atim, mtim uint64, flags uint32) errno

//go:wasmimport wasi_snapshot_preview1 path_link
//go:noescape
func path_link(from int32, lookup uint32, name string, to int32, toName string) errno

//go:wasmimport wasi_snapshot_preview1 path_open
//go:noescape
func path_open(dir int32, lookup uint32, name string, oflags uint32, rights, inherit uint64, flags uint32, fd unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 path_readlink
//go:noescape
func path_readlink(dir int32, name string, p unsafe.Pointer, n uint32, got unsafe.Pointer) errno

//go:wasmimport wasi_snapshot_preview1 path_remove_directory
//go:noescape
func path_remove_directory(dir int32, name string) errno

//go:wasmimport wasi_snapshot_preview1 path_rename
//go:noescape
func path_rename(from int32, name string, to int32, toName string) errno

//go:wasmimport wasi_snapshot_preview1 path_symlink
//go:noescape
func path_symlink(target string, dir int32, name string) errno

//go:wasmimport wasi_snapshot_preview1 path_unlink_file
//go:noescape
func path_unlink_file(dir int32, name string) errno
