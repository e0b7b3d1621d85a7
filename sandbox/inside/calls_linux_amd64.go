package inside

import "golang.org/x/sys/unix"

// archForbidden lists the calls of this architecture only that return EPERM: ports, segments, old modes of the processor, old interfaces.
var archForbidden = []uint32{
	unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_MODIFY_LDT, unix.SYS_USELIB, unix.SYS_USTAT, unix.SYS_SYSFS, unix.SYS__SYSCTL, unix.SYS_CREATE_MODULE,
	unix.SYS_GET_KERNEL_SYMS, unix.SYS_QUERY_MODULE,
}

var mknods = []mknodCall{{unix.SYS_MKNOD, 1}, {unix.SYS_MKNODAT, 2}}
