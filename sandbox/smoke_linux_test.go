package sandbox_test

import "testing"

func TestSmoke(t *testing.T) {
	needSpaces(t)
	r := mustRun(t, box(), "probe", "x")
	t.Logf("%+v\n%s\n%s", r.Status, r.out, r.err)
}

func TestHostPrograms(t *testing.T) {
	needSpaces(t)
	b := box(hostRO("/usr")...)
	for _, l := range []string{"bin", "lib", "lib64"} {
		if l == "bin" {
			continue
		}
		b.Mounts = append(b.Mounts, link("/"+l, "usr/"+l))
	}
	b.Env = []string{"PATH=/usr/bin"}
	for _, c := range []string{"echo hi >/dev/stderr; echo out > /dev/stdout; id; ls /; exit 7", "kill -9 $$", "python3 -c 'import threading; t=threading.Thread(target=print,args=(1,)); t.start(); t.join()'", "sleep 100 & exit 3", "cat /proc/1/environ; ls /proc; tty"} {
		r := mustRun(t, b, "sh", "-c", c)
		t.Logf("%s: %+v\n%s\n%s", c, r.Status, r.out, r.err)
	}
}
