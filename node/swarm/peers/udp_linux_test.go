package peers

import (
	"bytes"
	"encoding/binary"
	"net"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// Packets that were sent as one and are read merged come apart as they were, and those that came alone as well.
func TestMergedConn(t *testing.T) {
	local := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	opened, err := listenUDP("udp4", local)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	to, ok := opened.(*mergedConn)
	if !ok {
		t.Skip("this kernel merges nothing")
	}
	if err := to.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	from, err := net.ListenUDP("udp4", local)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	segments := make([]byte, unix.CmsgSpace(2))
	h := unix.Cmsghdr{Level: unix.IPPROTO_UDP, Type: unix.UDP_SEGMENT}
	h.SetLen(unix.CmsgLen(2))
	if _, err := binary.Encode(segments, binary.NativeEndian, h); err != nil {
		t.Fatal(err)
	}
	const size = 1200
	binary.NativeEndian.PutUint16(segments[unix.CmsgLen(0):], size)
	data := make([]byte, 20*size+7)
	for i := range data {
		data[i] = byte(i * i >> 7)
	}
	var want [][]byte
	for _, sent := range []struct{ data, oob []byte }{
		{data, segments}, {[]byte("alone"), nil}, {nil, nil}, {data[5 : 5+size], nil}, {data[:3*size], segments},
	} {
		if _, _, err := from.WriteMsgUDP(sent.data, sent.oob, to.LocalAddr().(*net.UDPAddr)); err != nil {
			t.Fatal(err)
		}
		for rest := sent.data; len(rest) > 0 || len(sent.data) == 0; rest = rest[min(size, len(rest)):] {
			if want = append(want, rest[:min(size, len(rest))]); len(sent.data) == 0 {
				break
			}
		}
	}
	messages := make([]ipv4.Message, 8)
	for i := range messages {
		messages[i].Buffers, messages[i].OOB = [][]byte{make([]byte, 1452)}, make([]byte, 128)
	}
	var merged bool
	for len(want) > 0 {
		n, err := to.ReadBatch(messages, 0)
		if err != nil || n == 0 {
			t.Fatalf("%d packets are to come: got %d, %v", len(want), n, err)
		}
		merged = merged || n > 1
		for _, m := range messages[:min(n, len(want))] {
			if got := m.Buffers[0][:m.N]; !bytes.Equal(got, want[0]) {
				t.Fatalf("got a packet of %d bytes, want another one of %d", len(got), len(want[0]))
			}
			if m.Addr.String() != from.LocalAddr().String() {
				t.Errorf("got a packet from %s, want %s", m.Addr, from.LocalAddr())
			}
			want = want[1:]
		}
	}
	if !merged {
		t.Error("no packets were merged")
	}
}
