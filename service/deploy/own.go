package deploy

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/MordragT/nuka/internal/ownfile"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/service"
)

// A launcherUnit is the unit of a service for the supervisor.
type launcherUnit struct {
	argv, env []string
	listen    []service.Socket
	within    time.Duration // how long the launcher may take to stop
}

func decodeUnit(text []byte) (*launcherUnit, error) {
	v, err := nuon.Parse(text)
	if err != nil {
		return nil, err
	}
	rec, _ := v.(nuon.Record)
	within, ok := rec["within"].(nuon.Duration)
	u := &launcherUnit{argv: texts(rec["argv"]), env: texts(rec["env"]), within: time.Duration(within)}
	if !ok || len(u.argv) == 0 {
		return nil, errors.New("want argv, env and within")
	}
	list, _ := rec["listen"].(nuon.List)
	for _, v := range list {
		one, _ := v.(nuon.Record)
		var socket service.Socket
		socket.Name, _ = one["name"].(string)
		socket.Network, _ = one["network"].(string)
		socket.Address, _ = one["address"].(string)
		u.listen = append(u.listen, socket)
	}
	return u, nil
}

func texts(v any) (out []string) {
	list, _ := v.(nuon.List)
	for _, v := range list {
		if text, ok := v.(string); ok {
			out = append(out, text)
		}
	}
	return out
}

// Own is the supervisor of nuka as a command sees it.
type Own struct{ dir *Dir }

// NewOwn returns the supervisor of a folder of services, which need not run.
func NewOwn(d *Dir) *Own { return &Own{d} }

// Available implements Manager.
func (m *Own) Available(ctx context.Context) error {
	if m.Runs(ctx) {
		return nil
	}
	return protocol.Errorf(protocol.Unavailable, "nuka services run does not run here, and these services are for no other service manager").
		WithHint("start it first, in the foreground of a container or another terminal: nuka services run; or apply the set with another manager: --as systemd")
}

// Runs reports whether the supervisor runs.
func (m *Own) Runs(context.Context) bool {
	locked, err := ownfile.Locked(m.dir.at("supervisor"))
	return locked && err == nil
}

// Folder implements Manager.
func (m *Own) Folder() string { return m.dir.at("units") }

// Units implements Manager.
func (m *Own) Units(s *service.Service, l *service.Launcher) ([]service.Unit, error) {
	argv := append(append([]string{}, l.Argv...), "--until-eof")
	rec := nuon.Record{"argv": argv, "env": append([]string{}, l.Env...), "within": nuon.Duration(s.Stop.Within + 5*time.Second)}
	var listen nuon.List
	for _, socket := range s.Listen {
		listen = append(listen, nuon.Record{"name": socket.Name, "network": socket.Network, "address": socket.Address})
	}
	if len(listen) > 0 {
		rec["listen"] = listen
	}
	text, err := nuon.Encode(rec)
	return []service.Unit{{Path: s.Name, Mode: 0o600, Text: string(text) + "\n"}}, err
}

// Reload implements Manager. The supervisor reads a unit when it starts a launcher, and at its own start all units.
func (m *Own) Reload(context.Context, []string) error { return nil }

// Start implements Manager.
func (m *Own) Start(ctx context.Context, name string) error { return m.call(ctx, "start", name) }

// Restart implements Manager.
func (m *Own) Restart(ctx context.Context, name string) error { return m.call(ctx, "restart", name) }

// Stop implements Manager.
func (m *Own) Stop(ctx context.Context, names []string) error {
	if !m.Runs(ctx) {
		return nil // its launchers stop with it
	}
	for _, name := range names {
		if err := m.call(ctx, "stop", name); err != nil {
			return err
		}
	}
	return nil
}

// call gives an order to the supervisor, and waits for its answer.
func (m *Own) call(ctx context.Context, do, name string) error {
	c, err := new(net.Dialer).DialContext(ctx, "unix", m.dir.at("control"))
	if err != nil {
		return protocol.Errorf(protocol.Unavailable, "nuka services run does not run here").WithHint("start it first, in the foreground of a container or another terminal: nuka services run")
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	line, err := json.Marshal(order{do, name})
	if err == nil {
		_, err = c.Write(append(line, '\n'))
	}
	var answer string
	if err == nil {
		answer, err = bufio.NewReader(io.LimitReader(c, 16<<10)).ReadString('\n')
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return protocol.Errorf(protocol.Unavailable, "nuka services run ended meanwhile: %w", err)
	case answer != "\n":
		return fmt.Errorf("nuka services run: %s", strings.TrimSpace(answer))
	}
	return nil
}
