package control

import (
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	p2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/quic-go/quic-go"

	"github.com/MordragT/nuka/protocol"
)

// quicConfig is the configuration of both ends. A silent connection ends after the idle timeout, so that the calls of a vanished peer end too.
var quicConfig = &quic.Config{
	HandshakeIdleTimeout: 5 * time.Second,
	MaxIdleTimeout:       30 * time.Second,
	KeepAlivePeriod:      10 * time.Second,
	MaxIncomingStreams:   256,
}

// identity wraps an ed25519 key for libp2p's TLS handshake
// (https://github.com/libp2p/specs/blob/master/tls/tls.md).
func identity(key ed25519.PrivateKey) (*p2ptls.Identity, error) {
	private, err := crypto.UnmarshalEd25519PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("control identity: %w", err)
	}
	id, err := p2ptls.NewIdentity(private)
	if err != nil {
		return nil, fmt.Errorf("control identity: %w", err)
	}
	return id, nil
}

// PeerID returns the libp2p peer id of a key.
func PeerID(key protocol.Key) string {
	id, err := peerID(key)
	if err != nil {
		return ""
	}
	return id.String()
}

func peerID(key protocol.Key) (peer.ID, error) {
	public, err := crypto.UnmarshalEd25519PublicKey(key[:])
	if err != nil {
		return "", err
	}
	return peer.IDFromPublicKey(public)
}

// udpAddress returns the host:port of a multiaddr /ip4/…/udp/…/quic-v1, or of one with /ip6 or /dns.
func udpAddress(address string) (string, error) {
	parts := strings.Split(address, "/")
	if len(parts) != 6 || parts[0] != "" || !slices.Contains([]string{"ip4", "ip6", "dns", "dns4", "dns6"}, parts[1]) || parts[3] != "udp" || parts[5] != "quic-v1" {
		return "", fmt.Errorf("%.100q is not an address for control: want /ip4/HOST/udp/PORT/quic-v1", address)
	}
	return net.JoinHostPort(parts[2], parts[4]), nil
}

// serverTLS accepts any identity. The server decides later, by the key, which calls the caller may make.
func serverTLS(id *p2ptls.Identity) *tls.Config {
	protocols := []string{protocol.ALPN}
	return &tls.Config{
		NextProtos: protocols,
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c, _ := id.ConfigForPeer("") // a configuration is valid for one connection only
			c.NextProtos = protocols
			return c, nil
		},
	}
}

// clientTLS accepts only the server with the given key.
func clientTLS(id *p2ptls.Identity, server protocol.Key) (*tls.Config, error) {
	expected, err := peerID(server)
	if err != nil {
		return nil, err
	}
	c, _ := id.ConfigForPeer(expected)
	c.NextProtos = []string{protocol.ALPN}
	return c, nil
}

// callerKey returns the key that the other end of a connection has proved.
func callerKey(conn *quic.Conn) (protocol.Key, error) {
	public, err := p2ptls.PubKeyFromCertChain(conn.ConnectionState().TLS.PeerCertificates)
	if err != nil {
		return protocol.Key{}, err
	}
	raw, err := public.Raw()
	if err != nil || len(raw) != len(protocol.Key{}) || public.Type() != crypto.Ed25519 {
		return protocol.Key{}, errors.New("control: the caller's key is not an ed25519 key")
	}
	return protocol.Key(raw), nil
}
