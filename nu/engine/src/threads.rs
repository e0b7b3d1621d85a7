//! WASI preview 1 has no threads, but `std` refers to these symbols and its libc has no stubs for them.
//! Starting a thread fails with EAGAIN, which `std` reports as an error.
use core::ffi::{c_int, c_void};

const EAGAIN: c_int = 6;

#[unsafe(no_mangle)]
pub extern "C" fn pthread_attr_init(_attr: *mut c_void) -> c_int {
    0
}
#[unsafe(no_mangle)]
pub extern "C" fn pthread_attr_setstacksize(_attr: *mut c_void, _size: usize) -> c_int {
    0
}
#[unsafe(no_mangle)]
pub extern "C" fn pthread_attr_destroy(_attr: *mut c_void) -> c_int {
    0
}
#[unsafe(no_mangle)]
pub extern "C" fn pthread_detach(_thread: usize) -> c_int {
    0
}
#[unsafe(no_mangle)]
pub extern "C" fn pthread_create(_thread: *mut c_void, _attr: *const c_void, _start: *const c_void, _arg: *mut c_void) -> c_int {
    EAGAIN
}
