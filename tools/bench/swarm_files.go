package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// An rsyncPeer fetches from rsync's own daemon. Rsync does not sync what it has written, which the others do; sync does.
type rsyncPeer struct{ src, config string }

func (p *rsyncPeer) name() string { return "rsync; sync" }

func (p *rsyncPeer) give(dir, src string) error {
	if err := installed("rsync"); err != nil {
		return err
	}
	p.src, p.config = src, filepath.Join(dir, "rsyncd.conf")
	return nil
}

func (p *rsyncPeer) take(dst string, ready func() error) (sample, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return sample{}, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	text := "use chroot = no\n"
	if os.Getuid() == 0 { // it would read as nobody
		text += "uid = 0\ngid = 0\n"
	}
	text += "[tree]\npath = " + p.src + "\nread only = yes\n"
	if err := os.WriteFile(p.config, []byte(text), 0o644); err != nil {
		return sample{}, err
	}
	from, err := task{args: []string{"rsync", "--daemon", "--no-detach", "--address=127.0.0.1", fmt.Sprint("--port=", port), "--config=" + p.config}}.
		launch(dst + ".log")
	if err != nil {
		return sample{}, err
	}
	defer from.stop()
	if err := until("rsync's daemon", 10*time.Second, func() bool {
		c, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", port))
		if err == nil {
			c.Close()
		}
		return err == nil
	}); err != nil {
		return sample{}, err
	}
	// What the daemon forks for the connection is waited for by it, and counted with it when it has ended.
	t := task{args: []string{"rsync", "-a", fmt.Sprintf("rsync://127.0.0.1:%d/tree/", port), dst + "/"}}
	return between(ready, t.synced(), nil, from)
}

// An httpPeer is a client that writes what it is sent to files, eight requests at a time, and knows the files' names; sync does the rest.
type httpPeer struct{ src, list string }

func (p *httpPeer) name() string { return "plain HTTP; sync" }

func (p *httpPeer) give(dir, src string) error {
	p.src, p.list = src, filepath.Join(dir, "list")
	var names []string
	err := filepath.WalkDir(src, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, filepath.ToSlash(strings.TrimPrefix(path, src)))
		}
		return err
	})
	if err != nil {
		return err
	}
	text, err := json.Marshal(names)
	if err != nil {
		return err
	}
	return os.WriteFile(p.list, text, 0o644)
}

func (p *httpPeer) take(dst string, ready func() error) (sample, error) {
	from, url, err := serve(p.src, dst+".log")
	if err != nil {
		return sample{}, err
	}
	defer from.stop()
	self, err := os.Executable()
	if err != nil {
		return sample{}, err
	}
	return between(ready, task{args: []string{self, "download", url, p.list, dst}}.synced(), nil, from)
}

// downloadChild downloads the files of a list.
func downloadChild(url, list, dst string) error {
	text, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	var names []string
	if err := json.Unmarshal(text, &names); err != nil {
		return err
	}
	const workers = 8
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}}
	queue := make(chan string)
	errs := make(chan error, workers)
	var g sync.WaitGroup
	for range workers {
		g.Go(func() {
			for name := range queue {
				if err := download(client, url+name, filepath.Join(dst, filepath.FromSlash(name))); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	for _, name := range names {
		select {
		case queue <- name:
		case err = <-errs:
		}
		if err != nil {
			break
		}
	}
	close(queue)
	g.Wait()
	select {
	case err = <-errs:
	default:
	}
	return err
}

func download(client *http.Client, url, to string) error {
	r, err := client.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, r.Status)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, r.Body); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
