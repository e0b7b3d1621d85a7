package bus

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The filter is a server to the program and a client of the bus: it passes no line of the handshake from one to the other. Two parsers that
// disagree about where the handshake ends were a hole in another filter (CVE-2018-6560).

const (
	maxLine  = 512 // bytes of a line of the handshake
	maxLines = 32
)

// readLine reads a line that ends with CR LF, byte by byte: what follows the handshake may come with descriptors.
func readLine(r io.Reader) (string, error) {
	var line []byte
	for one := make([]byte, 1); len(line) < maxLine; {
		if _, err := io.ReadFull(r, one); err != nil {
			return "", err
		}
		line = append(line, one[0])
		if s, ok := strings.CutSuffix(string(line), "\r\n"); ok {
			return s, nil
		}
	}
	return "", fmt.Errorf("a line of the handshake is longer than %d bytes", maxLine)
}

// serveAuth authenticates the program. The kernel has told who it is, so the identity that it claims is not compared: in a user name space
// the program may have another number. Guid is the bus's. If the program asks to pass descriptors, negotiate asks the bus. The result says whether
// both agreed.
func serveAuth(rw io.ReadWriter, guid string, negotiate func() (bool, error)) (agreed bool, err error) {
	zero := make([]byte, 1)
	if _, err := io.ReadFull(rw, zero); err != nil {
		return false, err
	}
	if zero[0] != 0 {
		return false, errors.New("the handshake does not begin with a zero byte")
	}
	const rejected, ok = "REJECTED EXTERNAL", "OK "
	state := "auth"
	for range maxLines {
		line, err := readLine(rw)
		if err != nil {
			return false, err
		}
		word, rest, _ := strings.Cut(line, " ")
		answer := `ERROR "not expected here"`
		switch {
		case state == "auth" && word == "AUTH":
			mechanism, claim, claimed := strings.Cut(rest, " ")
			switch {
			case mechanism != "EXTERNAL" || claimed && !isClaim(claim):
				answer = rejected
			case claimed:
				answer, state = ok+guid, "begin"
			default:
				answer, state = "DATA", "data"
			}
		case state == "data" && word == "DATA" && isClaim(rest):
			answer, state = ok+guid, "begin"
		case (state == "data" || state == "begin") && (word == "CANCEL" || word == "ERROR"), state == "data" && word == "DATA":
			answer, state = rejected, "auth"
		case state == "begin" && line == "NEGOTIATE_UNIX_FD" && !agreed:
			if agreed, err = negotiate(); err != nil {
				return false, err
			}
			if agreed {
				answer = "AGREE_UNIX_FD"
			}
		case state == "begin" && line == "BEGIN":
			return agreed, nil
		case word == "BEGIN":
			return false, errors.New("the handshake ends before the program is authenticated")
		}
		if _, err := io.WriteString(rw, answer+"\r\n"); err != nil {
			return false, err
		}
	}
	return false, fmt.Errorf("the handshake has more than %d lines", maxLines)
}

// isClaim returns whether s is empty, or the number of a user in hexadecimal digits of ASCII.
func isClaim(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && strings.Trim(string(b), "0123456789") == ""
}

// ask sends a line to the bus and reads its answer.
func ask(rw io.ReadWriter, line string) (string, error) {
	if _, err := io.WriteString(rw, line+"\r\n"); err != nil {
		return "", err
	}
	return readLine(rw)
}

// dialAuth authenticates the filter to the bus, which asks the kernel who it is, and returns the bus's GUID. The caller may then negotiate, and sends
// BEGIN.
func dialAuth(rw io.ReadWriter) (guid string, err error) {
	answer, err := ask(rw, "\x00AUTH EXTERNAL")
	if err == nil && strings.TrimSpace(answer) == "DATA" {
		answer, err = ask(rw, "DATA")
	}
	if err != nil {
		return "", err
	}
	guid, ok := strings.CutPrefix(answer, "OK ")
	if b, err := hex.DecodeString(guid); !ok || err != nil || len(b) != 16 {
		return "", fmt.Errorf("the bus does not accept this user: it answers %q", answer)
	}
	return guid, nil
}

// negotiateFiles asks the bus whether it passes descriptors.
func negotiateFiles(rw io.ReadWriter) (bool, error) {
	answer, err := ask(rw, "NEGOTIATE_UNIX_FD")
	return answer == "AGREE_UNIX_FD", err
}
