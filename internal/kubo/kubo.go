// Package kubo builds kubo, IPFS's own node, for tests and benchmarks in which it exchanges data with nuka.
// Kubo is not a dependency of nuka's module: the package builds a program.
package kubo

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// version is the release that is built.
const version = "v0.43.1"

// Build builds kubo below a folder, unless it exists there, and returns the path of its command. This takes some minutes and
// downloads modules from Go's registry. The working folder must be in nuka's module.
//
// Kubo's own go.mod replaces libp2p by a fork, so go install refuses it. Build therefore builds it as a part of a module that does not
// do that, with nuka's version of libp2p.
func Build(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	ipfs, module := filepath.Join(dir, "bin", "ipfs"), filepath.Join(dir, "kubo")
	if info, err := os.Stat(ipfs); err == nil && info.Mode().IsRegular() {
		return ipfs, nil
	}
	libp2p, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "github.com/libp2p/go-libp2p").Output()
	if err != nil {
		return "", fmt.Errorf("build kubo: which libp2p nuka has: %w", err)
	}
	if err := os.MkdirAll(module, 0o755); err != nil {
		return "", err
	}
	text := fmt.Sprintf("module kubo\n\ngo 1.26\n\nrequire (\n\tgithub.com/ipfs/kubo %s\n\tgithub.com/libp2p/go-libp2p %s\n)\n",
		version, strings.TrimSpace(string(libp2p)))
	if err := os.WriteFile(filepath.Join(module, "go.mod"), []byte(text), 0o644); err != nil {
		return "", err
	}
	c := exec.Command("go", "build", "-o", ipfs+".new", "github.com/ipfs/kubo/cmd/ipfs")
	c.Dir = module
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod -trimpath", "GOWORK=off")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build kubo: %w\n%s", err, out)
	}
	return ipfs, os.Rename(ipfs+".new", ipfs)
}

// Setup returns the commands, without the program's name, that create a repository. Its daemon has no bootstrap peers, searches for none, and
// listens at one address for peers.
func Setup(listen string) [][]string {
	return [][]string{
		{"init", "--empty-repo"},
		{"bootstrap", "rm", "--all"},
		{"config", "--json", "AutoConf.Enabled", "false"},
		{"config", "--json", "DNS.Resolvers", "{}"},
		{"config", "--json", "Routing.DelegatedRouters", "[]"},
		{"config", "--json", "Ipns.DelegatedPublishers", "[]"},
		{"config", "--json", "Bootstrap", "[]"},
		{"config", "--json", "AutoTLS.Enabled", "false"},
		{"config", "--json", "Addresses.Swarm", fmt.Sprintf("[%q]", listen)},
		{"config", "Addresses.API", "/ip4/127.0.0.1/tcp/0"},
		{"config", "--json", "Addresses.Gateway", "[]"},
		{"config", "--json", "Discovery.MDNS.Enabled", "false"},
		{"config", "--json", "Swarm.DisableNatPortMap", "true"},
		{"config", "--json", "Swarm.RelayClient.Enabled", "false"},
		{"config", "Routing.Type", "none"},
	}
}

// Env returns the environment variables with which kubo's command uses a repository.
func Env(repo string) []string {
	return []string{"IPFS_PATH=" + repo, "HOME=" + filepath.Dir(repo), "IPFS_TELEMETRY=off"}
}
