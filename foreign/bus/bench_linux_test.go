package bus

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkCall measures one call and its reply: without a filter, through ours, and through xdg-dbus-proxy where it is installed.
func BenchmarkCall(b *testing.B) {
	bus := daemon(b)
	peer(b, bus, "org.test.Talk")
	filter, _ := proxy(b, bus, policy())
	addresses := map[string]string{"direct": bus, "filter": filter}
	if prog, err := exec.LookPath("xdg-dbus-proxy"); err == nil {
		path := filepath.Join(folder(b), "proxy")
		cmd := exec.CommandContext(b.Context(), prog, bus, path, "--filter", "--talk=org.test.Talk")
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = cmd.Wait() })
		time.Sleep(200 * time.Millisecond)
		addresses["xdg-dbus-proxy"] = "unix:path=" + path
	}
	for _, name := range []string{"direct", "filter", "xdg-dbus-proxy"} {
		if addresses[name] == "" {
			continue
		}
		b.Run(name, func(b *testing.B) {
			c := client(b, addresses[name])
			for b.Loop() {
				if err := say(c, "org.test.Talk"); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/connect", func(b *testing.B) {
			for b.Loop() {
				_ = client(b, addresses[name]).Close()
			}
		})
	}
}
