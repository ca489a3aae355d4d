package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Contents is everything in an image.
type Contents struct {
	Platform   string // as in linux/arm/v7
	Files      []File
	Entrypoint []string
	Env        []string // as in NAME=value
	User       string   // empty: root
	Labels     map[string]string
}

// File is one file of an image.
type File struct {
	Path    string // absolute
	Mode    int64
	Content []byte
}

// Write writes an image of this name as a tar, an archive of an OCI layout, that container runtimes import, and returns its digest.
// Contents for several platforms become one image index. The same contents make the same bytes.
func Write(tarPath, tag string, all ...Contents) (digest string, err error) {
	ref, err := name.NewTag(tag)
	if err != nil {
		return "", fmt.Errorf("naming the image: %w", err)
	}
	made, err := assembleAll(all)
	if err != nil {
		return "", fmt.Errorf("making image %s: %w", tag, err)
	}
	if err := writeLayout(tarPath, ref, made); err != nil {
		return "", fmt.Errorf("writing image %s: %w", tag, err)
	}
	hash, err := made.Digest()
	if err != nil {
		return "", fmt.Errorf("computing the digest of image %s: %w", tag, err)
	}
	return hash.String(), nil
}

// Push pushes to the registry that the tag names.
func Push(ctx context.Context, tag string, all ...Contents) error {
	ref, err := name.NewTag(tag)
	if err != nil {
		return fmt.Errorf("naming the image: %w", err)
	}
	made, err := assembleAll(all)
	if err != nil {
		return fmt.Errorf("making image %s: %w", tag, err)
	}
	if err := remote.Push(ref, made, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return fmt.Errorf("pushing image %s: %w", tag, err)
	}
	return nil
}

// described is an image or an image index.
type described interface {
	remote.Taggable
	mutate.Appendable
}

// assembleAll makes an image of one, an index of several.
func assembleAll(all []Contents) (described, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, c := range all {
		platform, err := parsePlatform(c.Platform)
		if err != nil {
			return nil, err
		}
		image, err := assemble(c, platform)
		if err != nil {
			return nil, err
		}
		if len(all) == 1 {
			return image, nil
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}})
	}
	return index, nil
}

func assemble(c Contents, platform *v1.Platform) (v1.Image, error) {
	files, err := archive(c.Files)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(files)), nil
	}, tarball.WithCompressionLevel(gzip.BestCompression), tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), layer)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = platform.OS, platform.Architecture, platform.Variant
	config.Created = v1.Time{Time: time.Unix(0, 0).UTC()} // when it was made must not change the digest
	config.Config.Entrypoint, config.Config.Env, config.Config.User, config.Config.Labels = c.Entrypoint, c.Env, c.User, c.Labels
	return mutate.ConfigFile(image, config)
}

// archive is a tar of the files and of the folders that they are in.
func archive(files []File) ([]byte, error) {
	var to bytes.Buffer
	writer := tar.NewWriter(&to)
	made := map[string]bool{"/": true}
	for _, file := range files {
		if err := makeFolder(writer, made, path.Dir(file.Path)); err != nil {
			return nil, err
		}
		header := &tar.Header{Name: file.Path[1:], Mode: file.Mode, Size: int64(len(file.Content))}
		if err := writer.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("archiving %s: %w", file.Path, err)
		}
		if _, err := writer.Write(file.Content); err != nil {
			return nil, fmt.Errorf("archiving %s: %w", file.Path, err)
		}
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("ending the archive: %w", err)
	}
	return to.Bytes(), nil
}

func makeFolder(writer *tar.Writer, made map[string]bool, folder string) error {
	if made[folder] {
		return nil
	}
	if err := makeFolder(writer, made, path.Dir(folder)); err != nil {
		return err
	}
	made[folder] = true
	header := &tar.Header{Typeflag: tar.TypeDir, Name: folder[1:] + "/", Mode: 0o755}
	if err := writer.WriteHeader(header); err != nil {
		return fmt.Errorf("archiving %s: %w", folder, err)
	}
	return nil
}
