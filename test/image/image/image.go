// Package image makes container images without a container daemon: a static Go program, the
// certificate authorities of this machine and nothing else. Made twice, an image has the same digest.
package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
)

const (
	module       = "github.com/rebootd/rebootd"
	agent        = module + "/cmd/rebootd"
	certificates = "/etc/ssl/certs/ca-certificates.crt"
)

// Options says what image to make. Only Output must be set.
type Options struct {
	Output   string // path of the tar; its folder is made if need be
	Tag      string // name of the image; empty: localhost/PROGRAM:dev
	Platform string // as in linux/arm64; empty: linux on this machine's architecture
	Version  string // what the program calls its version; empty: git's word for the sources
	Package  string // import path of the program; empty: the agent
}

// Build compiles the program and writes an image of it. It returns the tar's absolute path and the
// image's digest. The working directory must be inside the repository.
func Build(ctx context.Context, o Options) (tarPath, digest string, err error) {
	o, err = o.complete(ctx)
	if err != nil {
		return "", "", err
	}
	if err := os.MkdirAll(filepath.Dir(o.Output), 0o755); err != nil {
		return "", "", fmt.Errorf("making the image's folder: %w", err)
	}
	work, err := os.MkdirTemp("", "rebootd-image-")
	if err != nil {
		return "", "", fmt.Errorf("making the image: %w", err)
	}
	defer os.RemoveAll(work) //nolint:errcheck // a temporary folder
	binary := filepath.Join(work, "program")
	if err := Compile(ctx, o.Package, binary, o.Platform, o.Version); err != nil {
		return "", "", err
	}
	contents, err := o.contents(ctx, binary)
	if err != nil {
		return "", "", err
	}
	digest, err = Write(o.Output, o.Tag, contents)
	return o.Output, digest, err
}

// Compile builds a static binary of a program in this repository.
func Compile(ctx context.Context, pkg, output, platform, version string) error {
	goos, arch, ok := strings.Cut(platform, "/")
	if !ok {
		return fmt.Errorf("platform %q isn't of the form linux/amd64", platform)
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -X main.version="+version, "-o", output, pkg)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off", "GOOS="+goos, "GOARCH="+arch)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s for %s: %w\n%s", pkg, platform, err, out)
	}
	return nil
}

func (o Options) complete(ctx context.Context) (Options, error) {
	o.Package = cmp.Or(o.Package, agent)
	o.Tag = cmp.Or(o.Tag, "localhost/"+path.Base(o.Package)+":dev")
	o.Platform = cmp.Or(o.Platform, "linux/"+runtime.GOARCH)
	if o.Version == "" {
		o.Version = cmp.Or(git(ctx, "describe", "--tags", "--always", "--dirty"), "dev")
	}
	var err error
	if o.Output == "" {
		return o, errors.New("the image needs a path to be written to")
	}
	if o.Output, err = filepath.Abs(o.Output); err != nil {
		return o, fmt.Errorf("finding the image's folder: %w", err)
	}
	return o, nil
}

func (o Options) contents(ctx context.Context, binary string) (Contents, error) {
	program, err := os.ReadFile(binary)
	if err != nil {
		return Contents{}, fmt.Errorf("reading the program: %w", err)
	}
	entrypoint := "/" + path.Base(o.Package)
	files := []File{{Path: entrypoint, Mode: 0o755, Content: program}}
	switch authorities, err := os.ReadFile(certificates); {
	case err == nil:
		files = append(files, File{Path: certificates, Mode: 0o644, Content: authorities})
	case !errors.Is(err, fs.ErrNotExist):
		return Contents{}, fmt.Errorf("reading the certificate authorities: %w", err)
	}
	goos, arch, _ := strings.Cut(o.Platform, "/")
	labels := map[string]string{
		"org.opencontainers.image.title":    path.Base(o.Package),
		"org.opencontainers.image.version":  o.Version,
		"org.opencontainers.image.source":   "https://" + module,
		"org.opencontainers.image.licenses": "Apache-2.0",
	}
	if revision := git(ctx, "rev-parse", "HEAD"); revision != "" {
		labels["org.opencontainers.image.revision"] = revision
	}
	return Contents{OS: goos, Arch: arch, Files: files, Entrypoint: []string{entrypoint}, User: "0", Labels: labels}, nil
}

// SourceRoot is the repository's folder. The working directory must be inside it.
func SourceRoot() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("finding the sources of %s: %w", module, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// git answers with an empty string where there is no git, or no repository.
func git(ctx context.Context, args ...string) string {
	out, err := exec.CommandContext(ctx, "git", args...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
