package wire

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/node/swarm/routing/routingtest"
	"github.com/MordragT/nuka/protocol"
)

// What shrinks is compressed, what does not is sent as it is, and every frame states a size that its reader bounds.
func TestCodec(t *testing.T) {
	z, err := NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	text := bytes.Repeat([]byte("a line of text\n"), 10_000)
	for name, test := range map[string]struct {
		b    []byte
		want protocol.Encoding
	}{
		"text": {text, protocol.Zstd}, "noise": {noise, protocol.Plain}, "short": {text[:leastFrame-1], protocol.Plain}, "least": {text[:leastFrame], protocol.Zstd},
	} {
		e, out, _ := z.Compress(test.b, nil)
		if e != test.want {
			t.Errorf("%s: got encoding %d, want %d", name, e, test.want)
			continue
		}
		if e == protocol.Plain {
			continue
		}
		if got, err := z.Frame(out, len(test.b)); err != nil || !bytes.Equal(got, test.b) {
			t.Errorf("%s: got %d bytes, %v", name, len(got), err)
		}
		if _, err := z.Frame(out, len(test.b)-1); err == nil {
			t.Errorf("%s: a frame of more than the bound is decompressed", name)
		}
		if err := z.Decompress(out, make([]byte, len(test.b)+1)); err == nil {
			t.Errorf("%s: a frame of another size is taken", name)
		}
	}
}

// A peer that sends at the rate is read on, one that sends less or nothing runs out of time, and useless bytes buy little.
func TestPaced(t *testing.T) {
	const rate = 1000
	for name, test := range map[string]struct {
		every  time.Duration // in which it sends 100 bytes
		credit int
		useful bool
		want   int // bytes, of 100,000
	}{
		"at the rate":        {every: 100 * time.Millisecond, want: 100_000},
		"at half the rate":   {every: 180 * time.Millisecond, want: 1100},
		"silent":             {every: time.Hour, want: 0},
		"useless":            {every: 100 * time.Millisecond, credit: 500, want: 1500},
		"useful with credit": {every: 100 * time.Millisecond, credit: 500, useful: true, want: 100_000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := routingtest.Streams()
				done := make(chan struct{})
				go func() {
					defer close(done)
					for range 1000 {
						select {
						case <-time.After(test.every):
						case <-t.Context().Done():
							return
						}
						if _, err := there.Write(make([]byte, 100)); err != nil {
							return
						}
					}
					_ = there.CloseWrite()
				}()
				p := &Paced{Stream: here, Peer: routing.NewBook().Peer(protocol.Key{1}), Until: time.Now().Add(time.Second), Rate: rate, Credit: test.credit}
				got := 0
				r := bufio.NewReaderSize(p, 100)
				var err error
				for err == nil {
					var n int
					n, err = r.Read(make([]byte, 100))
					got += n
					if test.useful {
						p.Useful()
					}
				}
				if (got == 100_000) != (err == io.EOF) || (got < 100_000) != Late(err) {
					t.Errorf("it ended with %v after %d bytes", err, got)
				}
				if got < test.want*9/10 || got > test.want*11/10 {
					t.Errorf("got %d bytes, want about %d", got, test.want)
				}
				if received, _ := p.Peer.Traffic(); received != int64(got) {
					t.Errorf("%d bytes are counted, of %d", received, got)
				}
				here.Reset(0)
				there.Reset(0)
				if test.every < time.Hour {
					<-done
				}
			})
		})
	}
}
