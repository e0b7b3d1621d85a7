package foreign

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// familyWild is the family of a cookie for every host (Xauth(3), FamilyWild).
const familyWild = 0xffff

// maxCookies bounds the size of a file of cookies.
const maxCookies = 1 << 20

// cookiesFor returns the cookies of a file in the form of Xauth(3) that are for a display, for every host: a client looks for the name of its host, and the sandbox
// has another one.
func cookiesFor(file []byte, display string) ([]byte, error) {
	if len(file) > maxCookies {
		return nil, fmt.Errorf("%d bytes are no file of cookies", len(file))
	}
	var out []byte
	for len(file) > 0 {
		if len(file) < 2 {
			return nil, errShortCookie
		}
		file = file[2:] // the family
		var fields [4][]byte
		for i := range fields { // address, number of the display, name, data
			if len(file) < 2 {
				return nil, errShortCookie
			}
			n := int(binary.BigEndian.Uint16(file))
			if file = file[2:]; len(file) < n {
				return nil, errShortCookie
			}
			fields[i], file = file[:n], file[n:]
		}
		if number := string(fields[1]); number != display && number != "" {
			continue
		}
		out = binary.BigEndian.AppendUint16(out, familyWild)
		for _, field := range [][]byte{nil, []byte(display), fields[2], fields[3]} {
			out = append(binary.BigEndian.AppendUint16(out, uint16(len(field))), field...)
		}
	}
	return out, nil
}

var errShortCookie = errors.New("a cookie is cut short")
