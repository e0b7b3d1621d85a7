package source

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/source/kind"
)

// URL is the kind of a file or archive at an address.
const URL OriginKind = "url"

func urlKind() Kind {
	return Kind{
		Kind: kind.Kind{
			Name: string(URL), About: "A file or archive from a URL.", More: kind.Downloaded,
			Args:  []kind.Param{{Name: "url", Type: kind.String, About: "Its address."}},
			Flags: kind.Archive(kind.Param{Name: "name", Type: kind.String, About: "A name for messages.", Aside: true}),
			Examples: []kind.Example{{
				Text:  "fetch url https://example.org/a-1.tar.gz --hash b3-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa --strip 1",
				About: "A source archive.",
			}},
			Unpacked: unpackedURL,
		},
		Digests: []pir.HashAlgorithm{pir.SHA256, pir.SHA512},
		Doc: "nuka unpacks a file whose address has the extension of an archive, and keeps any other file as it is.\n\n" +
			"```nu eval\nfetch url https://example.org/a-1.tar.gz --strip 1 --hash sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n```",
		Finds:       "at its address",
		Credentials: "netrc. An address in a package file may not contain a name or password, because nuka stores it and sends it to other nodes",
		Check:       func(o Origin) error { return checkAddress(o, o.URL) },
		Show:        func(o Origin) string { return shownText(o.URL) },
		Netrc:       true,
		Find: func(_ *Fetcher, _ context.Context, o Origin, _ pir.Hash, regs *Registries) ([]place, error) {
			p, err := regs.withLogin(place{url: o.URL})
			return []place{p}, err
		},
	}
}

var archiveEndings = []string{
	".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.zst", ".tar.bz2", ".tbz2", ".tar.lzma", ".zip", ".crate", ".whl", ".jar",
}

// unpackedURL recognises an archive by the suffix of its address.
func unpackedURL(fields kind.Fields) pir.Unpack {
	address, _, _ := strings.Cut(fields["url"], "?")
	for _, ending := range archiveEndings {
		if strings.HasSuffix(strings.ToLower(address), ending) {
			return pir.UnpackArchive
		}
	}
	return pir.UnpackFile
}

// checkAddress returns an error about a wrong address of an origin, or nil.
func checkAddress(o Origin, address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return fmt.Errorf("origin %s: %v", o.Kind, err)
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return fmt.Errorf("origin %s %q: want an http or https address", o.Kind, address)
	case u.User != nil:
		return fmt.Errorf("origin %s %s: nuka stores origins and sends them to other nodes, so they may not contain a name or password: put these into ~/.netrc",
			o.Kind, shown(u))
	}
	return nil
}
