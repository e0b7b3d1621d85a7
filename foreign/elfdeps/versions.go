package elfdeps

import (
	"io"
	"strconv"
	"strings"
)

// newest returns the largest of versions that has the same name as version: of GLIBC_2.2.5, GLIBC_2.36 and GLIBC_PRIVATE, for GLIBC_2.38, it is GLIBC_2.36.
func newest(versions []string, version string) (best string) {
	name, _, _ := strings.Cut(version, "_")
	for _, v := range versions {
		family, number, ok := strings.Cut(v, "_")
		if !ok || family != name || numbers(number) == nil {
			continue
		}
		_, have, _ := strings.Cut(best, "_")
		if best == "" || less(numbers(have), numbers(number)) {
			best = v
		}
	}
	return best
}

// numbers returns the parts of a dotted number, or nil.
func numbers(s string) (out []int) {
	for part := range strings.SplitSeq(s, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil
		}
		out = append(out, n)
	}
	return out
}

func less(a, b []int) bool {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return len(a) < len(b)
}

// readText returns the text of a small file, or nothing.
func readText(root Root, name string) string {
	at, info, err := Resolve(root, name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxConfig {
		return ""
	}
	f, err := root.Open(at)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfig))
	if err != nil {
		return ""
	}
	return string(b)
}
