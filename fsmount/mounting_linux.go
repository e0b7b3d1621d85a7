package fsmount

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// Device is the file through which the kernel speaks FUSE.
const Device = "/dev/fuse"

const fsType = "fuse.nuka"

// openMount mounts a FUSE file system at path and returns the descriptor of its connection, with the way in which it was mounted.
func openMount(device, path string) (fd int, how string, err error) {
	fd, err = mountDirectly(device, path)
	if err == nil {
		return fd, "mount", nil
	}
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
		return -1, "", err
	}
	for _, program := range []string{"fusermount3", "fusermount"} {
		if found, e := exec.LookPath(program); e == nil {
			if fd, e := mountByHelper(found, path); e == nil {
				return fd, program, nil
			} else {
				err = errors.Join(err, e)
			}
		}
	}
	return -1, "", err
}

func mountDirectly(device, path string) (int, error) {
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", device, err)
	}
	// Without default_permissions the kernel would ask the daemon about each access.
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d,default_permissions,allow_other,max_read=%d", fd, os.Geteuid(), os.Getegid(), maxTransfer)
	if err := unix.Mount("nuka", path, fsType, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_RDONLY, options); err != nil {
		return -1, errors.Join(fmt.Errorf("mount at %s: %w", path, err), unix.Close(fd))
	}
	return fd, nil
}

// mountByHelper mounts through the set-user-id program fusermount, which sends the descriptor over a socket.
func mountByHelper(program, path string) (int, error) {
	var last error
	for _, others := range []string{",allow_other", ""} { // allow_other needs user_allow_other in the helper's configuration
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return -1, err
		}
		remote := os.NewFile(uintptr(pair[1]), "fusermount")
		cmd := exec.Command(program, "-o", "ro,nosuid,nodev,default_permissions,fsname=nuka,subtype=nuka"+others, "--", path)
		cmd.Env = append(os.Environ(), "_FUSE_COMMFD=3")
		cmd.ExtraFiles = []*os.File{remote}
		text, err := cmd.CombinedOutput()
		remote.Close() //nolint:errcheck // a socket
		fd := -1
		if err != nil {
			last = fmt.Errorf("%s: %w: %s", program, err, strings.TrimSpace(string(text)))
		} else if fd, last = receiveFD(pair[0]); last != nil {
			last = fmt.Errorf("%s: %w", program, last)
		}
		unix.Close(pair[0]) //nolint:errcheck // a socket
		if last == nil {
			return fd, nil
		}
	}
	return -1, last
}

// receiveFD receives one descriptor from a socket.
func receiveFD(socket int) (int, error) {
	b, oob := make([]byte, 8), make([]byte, unix.CmsgSpace(4*8))
	_, n, _, _, err := unix.Recvmsg(socket, b, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, err
	}
	return onlyFD(oob[:n])
}

// onlyFD returns the one descriptor of a control message, and closes others.
func onlyFD(oob []byte) (int, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return -1, err
	}
	var all []int
	for i := range messages {
		if fds, err := unix.ParseUnixRights(&messages[i]); err == nil {
			all = append(all, fds...)
		}
	}
	if len(all) != 1 {
		for _, fd := range all {
			unix.Close(fd) //nolint:errcheck // it is not wanted
		}
		return -1, fmt.Errorf("the message has %d descriptors; want one", len(all))
	}
	return all[0], nil
}

// mounts returns how many mounts of this file system are at path, in this process's name space.
func mounts(path string) (int, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	found := 0
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		left, right, _ := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(left)
		if len(fields) < 5 || !strings.HasPrefix(right, fsType+" ") {
			continue
		}
		if unescape.Replace(fields[4]) == path {
			found++
		}
	}
	return found, lines.Err()
}

// unescape decodes the characters that the kernel escapes in a list of mounts.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// clearStale detaches mounts at path that no holder has any more, and ends their connections so that no caller waits for an answer.
// The caller has the lock of holders.
func clearStale(path string) error {
	for range 100 {
		found, err := mounts(path)
		if err != nil || found == 0 {
			return err
		}
		if err := detach(path); err != nil {
			return err
		}
	}
	return fmt.Errorf("more than 100 mounts lie on %s: unmount them", path)
}

// unmount unmounts path; unix.EBUSY if files or folders in it are in use.
func unmount(path string) error {
	err := unix.Unmount(path, unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EPERM) {
		return byHelper("-u", path)
	}
	return err
}

// detach takes a mount out of the folder tree, although files in it may be in use, and ends its connection, so that its callers get an error.
func detach(path string) error {
	err := unix.Unmount(path, unix.MNT_FORCE|unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EPERM) {
		return byHelper("-uz", path)
	}
	return err
}

func byHelper(flag, path string) error {
	for _, program := range []string{"fusermount3", "fusermount"} {
		if found, err := exec.LookPath(program); err == nil {
			text, err := exec.Command(found, flag, "--", path).CombinedOutput()
			switch {
			case err == nil:
				return nil
			case flag == "-u": // the program has one exit code for all errors
				return unix.EBUSY
			}
			return fmt.Errorf("%s %s: %w: %s", program, flag, err, strings.TrimSpace(string(text)))
		}
	}
	return unix.EPERM
}
