// Package image makes container images without a container daemon: a static Go program, which has the time zones inside, the
// certificate authorities of this machine and nothing else, as the Dockerfile says too. Made twice, an image has the same digest.
package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const (
	module       = "github.com/rebootd/rebootd"
	agent        = module + "/cmd/rebootd"
	certificates = "/etc/ssl/certs/ca-certificates.crt"
	// Flags of the compiler that leave this machine's paths and the state of its checkout out of the program.
	trim, noVCS = "-trimpath", "-buildvcs=false"
	// noInline makes the program a sixth smaller, and what it does all day no slower.
	noInline = "-gcflags=all=-l"
)

// Options says what image to make. Only Output must be set.
type Options struct {
	Output    string   // path of the tar; its folder is made if need be
	Tag       string   // name of the image; empty: localhost/PROGRAM:dev
	Platforms []string // as in linux/arm/v7; none: linux on this machine's architecture
	Version   string   // what the program calls its version; empty: git's word for the sources
	Package   string   // import path of the program; empty: the agent
	Push      bool     // to the registry that Tag names, with the credentials that docker login keeps
}

// Build compiles the program and writes an image of it; several platforms make one image index. It returns the tar's absolute path
// and the digest. The working directory must be inside the repository.
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
	var all []Contents
	for _, platform := range o.Platforms {
		binary := filepath.Join(work, strings.ReplaceAll(platform, "/", "-"))
		if err := Compile(ctx, o.Package, binary, platform, o.Version); err != nil {
			return "", "", err
		}
		contents, err := o.contents(ctx, binary, platform)
		if err != nil {
			return "", "", err
		}
		all = append(all, contents)
	}
	digest, err = Write(o.Output, o.Tag, all...)
	if err == nil && o.Push {
		err = Push(ctx, o.Tag, all...)
	}
	return o.Output, digest, err
}

// Compile builds a static binary of a program in this repository.
func Compile(ctx context.Context, pkg, output, platform, version string) error {
	target, err := parsePlatform(platform)
	if err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", trim, noVCS, noInline, "-ldflags", linkerFlags(version), "-o", output, pkg)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off",
		"GOOS="+target.OS, "GOARCH="+target.Architecture, "GOARM="+strings.TrimPrefix(target.Variant, "v"))
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s for %s: %w\n%s", pkg, platform, err, out)
	}
	return nil
}

// linkerFlags leave out what only debuggers need.
func linkerFlags(version string) string { return "-s -w -X main.version=" + version }

// parsePlatform reads what is written as in linux/amd64 or linux/arm/v7. Only ARM has variants here.
func parsePlatform(platform string) (*v1.Platform, error) {
	p, err := v1.ParsePlatform(platform)
	if err != nil || p.OS == "" || p.Architecture == "" || (p.Variant != "") != (p.Architecture == "arm") {
		return nil, fmt.Errorf("platform %q isn't of the form linux/amd64 or linux/arm/v7", platform)
	}
	return p, nil
}

func (o Options) complete(ctx context.Context) (Options, error) {
	o.Package = cmp.Or(o.Package, agent)
	o.Tag = cmp.Or(o.Tag, "localhost/"+path.Base(o.Package)+":dev")
	if len(o.Platforms) == 0 {
		o.Platforms = []string{"linux/" + runtime.GOARCH}
	}
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

func (o Options) contents(ctx context.Context, binary, platform string) (Contents, error) {
	program, err := os.ReadFile(binary)
	if err != nil {
		return Contents{}, fmt.Errorf("reading the program: %w", err)
	}
	authorities, err := os.ReadFile(certificates)
	if err != nil {
		return Contents{}, fmt.Errorf("reading the certificate authorities, which Debian has in the package ca-certificates: %w", err)
	}
	entrypoint := "/" + path.Base(o.Package)
	return Contents{
		Platform: platform,
		Files: []File{
			{Path: entrypoint, Mode: 0o755, Content: program},
			{Path: certificates, Mode: 0o644, Content: authorities},
		},
		Entrypoint: []string{entrypoint}, Env: Env(), User: "0", Labels: labels(path.Base(o.Package), o.Version, git(ctx, "rev-parse", "HEAD")),
	}, nil
}

// Env is the environment that the agent's image gives it.
func Env() []string { return []string{"GODEBUG=memprofilerate=0", "GOGC=10", "GOMAXPROCS=1"} }

// labels are what https://specs.opencontainers.org/image-spec/annotations names.
func labels(title, version, revision string) map[string]string {
	const prefix = "org.opencontainers.image."
	return map[string]string{
		prefix + "title":       title,
		prefix + "description": "Reboots the nodes of a Kubernetes cluster, safely, when their operating system asks for it",
		prefix + "url":         "https://" + module,
		prefix + "source":      "https://" + module,
		prefix + "licenses":    "Apache-2.0",
		prefix + "version":     version,
		prefix + "revision":    revision,
	}
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
