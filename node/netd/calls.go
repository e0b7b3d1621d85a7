package netd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// do makes a call. If the process ends before it answers, do makes the call again with the next process.
func (d *Daemon) do(ctx context.Context, method string, args, result any, body []byte, part func(json.RawMessage)) ([]byte, error) {
	for range tries {
		p, err := d.process(ctx)
		if err != nil {
			return nil, err
		}
		p.settled(ctx)
		answer, err := p.link.call(ctx, method, args, result, body, part)
		if !errors.Is(err, errBroken) || ctx.Err() != nil {
			return answer, err
		}
	}
	return nil, protocol.Errorf(protocol.Unavailable, "%s: %d net daemons ended during this call", method, tries).
		WithHint("see the daemon's log; nuka status prints its path")
}

// settled waits until a process that follows another has a peer, or settle has passed.
func (p *process) settled(ctx context.Context) {
	for p.next && time.Since(p.since) < settle {
		var peers []protocol.Peer
		if _, err := p.link.call(ctx, callPeers, nil, &peers, nil, nil); err != nil || len(peers) > 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// process returns a process that has not ended. It waits for the next one if need be.
func (d *Daemon) process(ctx context.Context) (*process, error) {
	for {
		d.mu.Lock()
		p, next := d.now, d.next
		d.mu.Unlock()
		select {
		case <-p.link.dead:
		default:
			return p, nil
		}
		select {
		case <-next:
		case <-d.ended:
			return nil, protocol.Errorf(protocol.Unavailable, "the swarm was left")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// ask asks the process about its state. If no answer arrives within askTimeout, result stays as it is.
func (d *Daemon) ask(method string, result any) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	answer := make(chan json.RawMessage, 1)
	go func() {
		defer cancel()
		var raw json.RawMessage
		p, err := d.process(ctx)
		if err == nil {
			_, err = p.link.call(ctx, method, nil, &raw, nil, nil)
		}
		if err != nil {
			d.log.Debug("ask a net daemon", "name", d.name, "what", method, "error", err)
			return
		}
		answer <- raw
	}()
	<-ctx.Done() // the call may take longer
	select {
	case raw := <-answer:
		if raw == nil {
			return
		}
		if err := json.Unmarshal(raw, result); err != nil {
			d.log.Warn("ask a net daemon", "name", d.name, "what", method, "error", err)
		}
	default:
	}
}

// Statements is that of a swarm.Swarm. Signatures are verified in this process.
func (d *Daemon) Statements(ctx context.Context, ids []pir.PID) ([]protocol.Attestation, error) {
	var said lines
	if _, err := d.do(ctx, callStatements, statementsArgs{PIDs: ids}, &said, nil, nil); err != nil {
		return nil, err
	}
	all := make([]protocol.Attestation, 0, len(said.Lines))
	for _, line := range said.Lines {
		a, err := protocol.DecodeAttestation(line)
		if err != nil {
			return nil, fmt.Errorf("statements from a net daemon: %w", err)
		}
		all = append(all, *a)
	}
	return all, nil
}

// PIRs is that of a swarm.Swarm. The hashes are compared in this process; the caller decodes what it uses.
func (d *Daemon) PIRs(ctx context.Context, ids []pir.PID) (map[pir.PID][]byte, error) {
	var list lines
	if _, err := d.do(ctx, callPIRs, statementsArgs{PIDs: ids}, &list, nil, nil); err != nil {
		return nil, err
	}
	pirs := map[pir.PID][]byte{}
	for _, b := range list.Lines {
		if id := pir.Sum(b); slices.Contains(ids, id) {
			pirs[id] = b
		}
	}
	return pirs, nil
}

// Published is that of a swarm.Swarm. Signatures are verified in this process.
func (d *Daemon) Published(ctx context.Context, keys []protocol.Key) ([][]byte, error) {
	var list lines
	if _, err := d.do(ctx, callPublished, headsArgs{keys}, &list, nil, nil); err != nil {
		return nil, err
	}
	for _, line := range list.Lines {
		if h, err := protocol.DecodePublished(line); err != nil || !slices.Contains(keys, h.Signer) {
			return nil, fmt.Errorf("heads from a net daemon: %w", errors.Join(err, errors.New("nobody asked for it")))
		}
	}
	return list.Lines, nil
}

// Fetch is that of a swarm.Swarm.
func (d *Daemon) Fetch(ctx context.Context, root cid.CID, size int64, tell func(done, total int64)) error {
	_, err := d.do(ctx, callFetch, fetchArgs{root, size}, nil, nil, func(news json.RawMessage) {
		var p progress
		if json.Unmarshal(news, &p) == nil && tell != nil {
			tell(p.Done, p.Total)
		}
	})
	return err
}

// Announce is that of a swarm.Swarm. If the process dies before it announces everything, the next one does: it asks for all packages.
func (d *Daemon) Announce(ids ...pir.PID) {
	go d.ask(callAnnounce, new(any))
}

// Peers is that of a swarm.Swarm.
func (d *Daemon) Peers() []protocol.Peer {
	peers := []protocol.Peer{}
	d.ask(callPeers, &peers)
	return peers
}

// Status is that of a swarm.Swarm.
func (d *Daemon) Status() protocol.SwarmStatus {
	var st protocol.SwarmStatus
	d.ask(callStatus, &st)
	return st
}

// Addresses is that of a swarm.Swarm.
func (d *Daemon) Addresses() []string { return d.Status().Addresses }

// Connect is that of a swarm.Swarm.
func (d *Daemon) Connect(ctx context.Context, address string) error {
	_, err := d.do(ctx, callConnect, addressArgs{address}, nil, nil, nil)
	if err == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.reached = append(slices.DeleteFunc(d.reached, func(a string) bool { return a == address }), address)
		d.reached = d.reached[max(0, len(d.reached)-maxReached):]
	}
	return err
}

// Join is that of a swarm.Swarm. An invitation is for one use: if the net daemon dies during the call, the invitation may be used up.
func (d *Daemon) Join(ctx context.Context, ticket string, request []byte) ([]byte, error) {
	return d.do(ctx, callJoin, addressArgs{ticket}, nil, request, nil)
}

// Renew is that of a swarm.Swarm.
func (d *Daemon) Renew() { go d.ask(callRenew, new(any)) }

// Tell is that of a swarm.Swarm.
func (d *Daemon) Tell(ctx context.Context, head []byte) {
	if _, err := d.do(ctx, callTell, nil, nil, head, nil); err != nil {
		d.log.Debug("tell a head", "name", d.name, "error", err)
	}
}
