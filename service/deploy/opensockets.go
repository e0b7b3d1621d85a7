package deploy

import (
	"slices"

	"github.com/MordragT/nuka/service"
	"github.com/MordragT/nuka/service/supervise"
)

// openSockets are the listening sockets that the supervisor keeps open for a service. The zero value has none.
type openSockets struct {
	sockets []service.Socket
	handed  []supervise.Handed
}

// open closes the sockets that are not wanted any more, opens those that are missing, and returns all. Wanted ones stay as they are: clients that connect meanwhile
// wait. One that cannot be opened is told, and left to the launcher, which tries again.
func (o *openSockets) open(wanted []service.Socket, failed func(error)) []supervise.Handed {
	for i := len(o.sockets) - 1; i >= 0; i-- {
		if !slices.Contains(wanted, o.sockets[i]) {
			o.handed[i].File.Close() //nolint:errcheck // nothing was written
			o.sockets, o.handed = slices.Delete(o.sockets, i, i+1), slices.Delete(o.handed, i, i+1)
		}
	}
	for _, socket := range wanted {
		if slices.Contains(o.sockets, socket) {
			continue
		}
		files, err := supervise.Listen(&service.Service{Listen: []service.Socket{socket}}, nil)
		if err != nil {
			failed(err)
			continue
		}
		o.sockets, o.handed = append(o.sockets, socket), append(o.handed, supervise.Handed{Name: socket.Name, File: files[0]})
	}
	return o.handed
}

func (o *openSockets) close() { o.open(nil, nil) }
